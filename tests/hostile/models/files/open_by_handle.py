# /// attack
# lives = true
# rows = [18]
# ///

import ctypes
import os

from hostile import add, call, got_through, spoil, state


def attack(world):
    spoil()
    handle = ctypes.create_string_buffer(b"\x80\0\0\0\1\0\0\0", 256)
    mount = ctypes.c_int()
    path = ctypes.create_string_buffer(b"/etc/passwd")
    return got_through({
        "name": lambda: call("name_to_handle_at", -100, path, handle, mount, 0),
        "open": lambda: call("open_by_handle_at", os.open("/", os.O_PATH), handle, 0),
    })
