# /// attack
# lives = true
# rows = [38]
# ///

import ctypes

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    parameters = ctypes.create_string_buffer(120)
    calls = {"io_uring_setup": (1, parameters), "io_uring_enter": (3, 0, 0, 0, 0, 0), "io_uring_register": (3, 0, 0, 0)}
    return carried_out(calls | {"io_setup": (1, parameters), "io_submit": (0, 0, 0)})
