# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import ctypes
import mmap

from hostile import add, spoil, state


def attack(world):
    """A memoryview of what is mapped no more."""
    spoil()
    view = memoryview(mmap.mmap(-1, 1 << 20))
    place = ctypes.addressof(ctypes.c_char.from_buffer(view))
    ctypes.CDLL(None).munmap(ctypes.c_void_p(place), ctypes.c_size_t(1 << 20))
    return view[0]
