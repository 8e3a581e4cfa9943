# /// attack
# lives = true
# rows = [38]
# ///

import ctypes

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    empty = ctypes.create_string_buffer(b"")
    return carried_out({"init_module": (empty, 0, empty), "finit_module": (3, empty, 0), "delete_module": (empty, 0)})
