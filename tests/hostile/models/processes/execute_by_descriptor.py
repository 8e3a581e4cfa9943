# /// attack
# lives = true
# rows = [32]
# ///

import ctypes
import os

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    fd = os.open("/dev/null", os.O_RDONLY)
    empty = ctypes.create_string_buffer(b"")
    return carried_out({"execveat": (fd, empty, 0, 0, 0x1000), "memfd_create": (empty, 0), "uselib": (empty,)})
