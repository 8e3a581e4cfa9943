# /// attack
# rows = []
# lives = true
# ///

import ctypes

from hostile import add, carried_out, got_through, spoil, state


def attack(world):
    spoil()
    return carried_out({"mlock": (0, 4096), "mlock2": (0, 4096, 0), "mlockall": (3,), "munlockall": ()})
