# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import ctypes
import time

from hostile import add, spoil, state


def attack(world):
    """Only its own direction."""
    spoil()
    ctypes.CDLL(None).shutdown(3, 1)
    time.sleep(3600)
