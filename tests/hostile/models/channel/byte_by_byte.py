# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.4
# ///

import os

from hostile import add, spoil, state


def attack(world):
    """A large frame, one byte at a time."""
    spoil()
    os.write(3, b"\0\x10\0\0")
    while True:
        os.write(3, b"\x91")
