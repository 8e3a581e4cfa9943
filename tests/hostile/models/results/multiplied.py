# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# ///

from hostile import add, spoil, state


def attack(world):
    """Small here, 10^12 items when written down."""
    spoil()
    value = [1] * 100
    for _ in range(5):
        value = [value] * 100
    return value
