# /// attack
# lives = true
# rows = [38]
# ///

import ctypes

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    return carried_out({"perf_event_open": (ctypes.create_string_buffer(128), 0, -1, -1, 0)})
