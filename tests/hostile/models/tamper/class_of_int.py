# /// attack
# rows = []
# lives = true
# result = '1'
# ///

import ctypes

from hostile import add, spoil, state


def attack(world):
    """A method planted in a builtin class, past its protection."""
    spoil()
    proxy = int.__dict__
    place = ctypes.py_object.from_address(id(proxy) + 16)
    place.value["planted"] = lambda self: "planted"
    return 1
