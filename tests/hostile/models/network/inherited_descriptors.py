# /// attack
# rows = []
# lives = true
# ///

import os

from hostile import add, spoil, state


def attack(world):
    """Nothing but three standard descriptors and the channel may be open."""
    spoil()
    found = []
    for number in range(4, 256):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found
