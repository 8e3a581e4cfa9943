# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    spoil()
    number = 0
    while True:
        number += 1
        Epicenter.subscribe(f"{number}" * 100, print)
