# /// attack
# lives = true
# rows = [26]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()

    def send(kind):
        socket.socket(socket.AF_UNIX, kind).connect(world["unix"])

    return got_through({"stream": lambda: send(socket.SOCK_STREAM), "datagram": lambda: send(socket.SOCK_DGRAM)})
