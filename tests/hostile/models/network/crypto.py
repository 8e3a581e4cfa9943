# /// attack
# lives = true
# rows = [26]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({"alg": lambda: socket.socket(38, socket.SOCK_SEQPACKET)})
