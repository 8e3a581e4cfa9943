# /// attack
# lives = true
# rows = [25]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({
        "tcp": lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
        "udp": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    })
