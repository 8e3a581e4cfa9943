# /// attack
# lives = false
# rows = [52]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import ctypes

from hostile import add, spoil, state


def attack(world):
    spoil()
    return ctypes.PyDLL(None).sleep(3600)
