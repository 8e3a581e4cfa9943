# /// attack
# rows = []
# lives = true
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    spoil()
    for number in range(50_000):
        Epicenter.record("name", number)
    return []
