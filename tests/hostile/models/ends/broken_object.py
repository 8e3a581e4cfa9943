# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import ctypes

from hostile import add, spoil, state


def attack(world):
    """An object whose class is nowhere."""
    spoil()
    thing = object()
    ctypes.c_size_t.from_address(id(thing) + 8).value = 0x41
    return repr(thing)
