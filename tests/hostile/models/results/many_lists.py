# /// attack
# rows = []
# lives = true
# code = "RESULT_TOO_LARGE"
# says = "values"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return [[[]] * 1000] * 1500
