# /// attack
# lives = false
# rows = [89]
# code = "PROCESS_EXITED"
# says = "closed its socket"
# ///

import ctypes
import time

from hostile import add, spoil, state


def attack(world):
    spoil()
    ctypes.CDLL(None).shutdown(3, 2)
    time.sleep(3600)
