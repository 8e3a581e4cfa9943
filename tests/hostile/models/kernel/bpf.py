# /// attack
# lives = true
# rows = [38]
# ///

import ctypes

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    return carried_out({"bpf": (0, ctypes.create_string_buffer(64), 64), "bpf load": (5, 0, 0)})
