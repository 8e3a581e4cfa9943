# /// attack
# lives = true
# rows = [38]
# ///

import ctypes

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    kind, name = ctypes.create_string_buffer(b"user"), ctypes.create_string_buffer(b"x")
    return carried_out({
        "keyctl": (0, -4, 1), "keyctl read": (11, -4, 0, 0), "add_key": (kind, name, name, 1, -4),
        "request_key": (kind, name, 0, -4),
    })
