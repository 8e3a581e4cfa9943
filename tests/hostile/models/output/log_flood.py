# /// attack
# rows = []
# lives = true
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    spoil()
    for _ in range(20_000):
        Epicenter.log("FATAL", "x" * 1000)
    return []
