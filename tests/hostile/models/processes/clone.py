# /// attack
# lives = true
# rows = [31]
# ///

import ctypes
import os
import signal

from hostile import add, call, got_through, spoil, state


def attack(world):
    spoil()

    def clone(name, *arguments):
        if call(name, *arguments) == 0:
            os._exit(0)

    return got_through({
        "clone": lambda: clone("clone", int(signal.SIGCHLD), 0, 0, 0, 0),
        "clone into name spaces": lambda: clone("clone", 0x10000000 | int(signal.SIGCHLD), 0, 0, 0, 0),
        "clone3": lambda: clone("clone3", ctypes.create_string_buffer(88), 88),
    })
