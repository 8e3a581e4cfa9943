# /// attack
# rows = []
# lives = true
# code = "RESULT_TOO_LARGE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return [1] * (9 << 20)
