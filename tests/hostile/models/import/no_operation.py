# /// attack
# lives = true
# rows = [100]
# code = "UNKNOWN_OPERATION"
# says = "attack"
# ///

from hostile import add, spoil, state

attacks = 1
