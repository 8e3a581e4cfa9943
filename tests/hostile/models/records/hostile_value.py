# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Hostile:
    def __getattribute__(self, name):
        raise SystemExit


def attack(world):
    spoil()
    Epicenter.record("x", Hostile())
