# /// attack
# rows = []
# lives = true
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    sys.stdout.write("\n" * (4 << 20))
    return []
