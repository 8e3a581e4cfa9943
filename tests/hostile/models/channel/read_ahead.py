# /// attack
# lives = false
# rows = [88]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import os

from hostile import add, spoil, state


def attack(world):
    """Takes what the worker sends next; nothing comes."""
    spoil()
    os.read(3, 1 << 20)
