# /// attack
# lives = true
# rows = [25]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({"tcp": lambda: socket.create_connection(("127.0.0.1", world["tcp"]), timeout=2)})
