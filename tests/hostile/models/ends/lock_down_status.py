# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import os

from hostile import add, spoil, state


def attack(world):
    """With the status that says that the lock-down failed."""
    spoil()
    os._exit(97)
