# /// attack
# lives = true
# rows = [38]
# ///

import ctypes

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    here = ctypes.create_string_buffer(b".")
    kind = ctypes.create_string_buffer(b"tmpfs")
    return carried_out({"mount": (here, here, kind, 0, 0), "umount2": (here, 2), "pivot_root": (here, here)})
