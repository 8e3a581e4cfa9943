# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import os
import time

from hostile import add, spoil, state


def attack(world):
    """Never blocks on its own end."""
    spoil()
    os.set_blocking(3, False)
    time.sleep(3600)
