# /// attack
# rows = []
# lives = true
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    """What was recorded is as it was then."""
    spoil()
    value = []
    Epicenter.record("x", value)
    value.append(value)
    return []
