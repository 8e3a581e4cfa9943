# /// attack
# lives = true
# rows = [61]
# code = "OPERATION_FAILED"
# says = "RecursionError"
# ///

from hostile import add, spoil, state


def deeper():
    return deeper()


def attack(world):
    spoil()
    return deeper()
