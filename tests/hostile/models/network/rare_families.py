# /// attack
# lives = true
# rows = [26]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    families = [number for number in range(46) if number != socket.AF_UNIX]
    return got_through({str(one): lambda one=one: socket.socketpair(one, socket.SOCK_STREAM) for one in families})
