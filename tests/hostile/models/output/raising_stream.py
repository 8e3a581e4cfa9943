# /// attack
# rows = []
# lives = true
# ///

import sys

from hostile import add, spoil, state


class Raising:
    def __getattribute__(self, name):
        raise SystemExit


def attack(world):
    spoil()
    sys.stdout = sys.stderr = Raising()
    return []
