# /// attack
# lives = true
# rows = [25]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()

    def connect():
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(("127.0.0.1", world["tcp"]))

    return got_through({"mptcp": connect})
