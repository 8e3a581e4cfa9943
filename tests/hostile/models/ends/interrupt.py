# /// attack
# lives = true
# rows = [58]
# code = "OPERATION_FAILED"
# says = "KeyboardInterrupt"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    raise KeyboardInterrupt
