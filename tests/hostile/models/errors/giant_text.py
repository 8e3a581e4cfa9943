# /// attack
# lives = true
# rows = [79]
# code = "OPERATION_FAILED"
# says = "ValueError"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    raise ValueError("x" * (64 << 20))
