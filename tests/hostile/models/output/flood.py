# /// attack
# lives = true
# rows = [76]
# ///

import os
import threading

from hostile import add, spoil, state


def write():
    while True:
        os.write(1, b"\x1b[2J noise \x00\xff\n" * 1000)


def attack(world):
    """For ever, from a thread."""
    spoil()
    threading.Thread(target=write, daemon=True).start()
    return []
