# /// attack
# lives = false
# rows = [50]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from hostile import add, spoil, state


def attack(world):
    """In C, without ever giving the interpreter's lock away."""
    spoil()
    return 10 ** 10**8
