# /// attack
# lives = true
# rows = [71]
# result = '[null, null, 1.0]'
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return [float("nan"), float("-inf"), 1.0]
