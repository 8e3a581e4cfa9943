# /// attack
# lives = true
# rows = [25]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({"listen": lambda: socket.create_server(("127.0.0.1", 0))})
