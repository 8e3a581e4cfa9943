# /// attack
# lives = true
# rows = [26]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({
        "connect": lambda: socket.socket(socket.AF_UNIX).connect(world["abstract"]),
        "bind": lambda: socket.socket(socket.AF_UNIX).bind("\0planted"),
    })
