# /// attack
# lives = true
# rows = [100]
# code = "UNKNOWN_VARIABLE"
# ask = {type = "read_variables", names = ["attack.of.nothing"]}
# ///

from hostile import add, spoil, state
