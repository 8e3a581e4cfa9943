# /// attack
# lives = true
# rows = [67]
# code = "RESULT_TOO_LARGE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return "x" * (20 << 20)
