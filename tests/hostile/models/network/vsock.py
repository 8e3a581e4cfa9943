# /// attack
# lives = true
# rows = [26]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({"vsock": lambda: socket.socket(40, socket.SOCK_STREAM)})
