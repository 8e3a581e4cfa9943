# /// attack
# rows = []
# lives = true
# result = '"dropped"'
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    kept = sys.modules["hostile"]
    sys.modules.clear()
    sys.modules["hostile"] = kept
    return "dropped"
