# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import os
import time

from hostile import add, spoil, state


def attack(world):
    """Prints go into the channel."""
    spoil()
    os.dup2(3, 1)
    print("x" * 10_000)
    time.sleep(3600)
