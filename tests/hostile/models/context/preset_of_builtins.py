# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# create = {execution_context = {presets = {"__builtins__" = 1, "__name__" = "x"}}}
# ///

from hostile import add, spoil, state
