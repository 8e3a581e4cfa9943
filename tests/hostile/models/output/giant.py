# /// attack
# lives = true
# rows = [75]
# ///

import os

from hostile import add, spoil, state


def attack(world):
    spoil()
    for _ in range(25):
        os.write(1, b"\x1b[2J\x00\xff" * (1 << 18))
    return []
