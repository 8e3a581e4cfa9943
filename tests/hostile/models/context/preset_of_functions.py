# /// attack
# rows = []
# lives = true
# when = "create"
# create = {execution_context = {presets = {len = 1, open = 2, print = 3, Exception = 4}}}
# ///

from hostile import add, spoil, state
