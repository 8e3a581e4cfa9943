# /// attack
# lives = false
# rows = [101]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import time

from hostile import add, spoil, state


def attack(world):
    """The time of an action stands still."""
    spoil()
    end = time.time() + 0.001
    while time.time() < end:
        pass
