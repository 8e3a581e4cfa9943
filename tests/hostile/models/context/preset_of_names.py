# /// attack
# rows = []
# lives = true
# when = "create"
# code = "INVALID_CONTEXT"
# create = {execution_context = {presets = {"a b; import os" = 1}}}
# ///

from hostile import add, spoil, state
