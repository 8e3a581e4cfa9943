# /// attack
# lives = false
# rows = [62]
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import ctypes
import sys

from hostile import add, spoil, state


def attack(world):
    """Recursion through C, without a limit."""
    spoil()
    sys.setrecursionlimit(2**31 - 1)
    again = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: again())
    return again()
