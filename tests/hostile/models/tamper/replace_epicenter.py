# /// attack
# rows = []
# lives = true
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    sys.modules["epicenter"] = sys.modules["Epicenter"] = None
    return []
