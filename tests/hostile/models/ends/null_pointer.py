# /// attack
# lives = false
# rows = [59]
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import ctypes

from hostile import add, spoil, state


def attack(world):
    spoil()
    ctypes.string_at(0)
