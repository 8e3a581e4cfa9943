# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import ctypes

from hostile import add, spoil, state


def attack(world):
    spoil()
    ctypes.memset(ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p), 0, 1)
