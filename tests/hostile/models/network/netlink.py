# /// attack
# lives = true
# rows = [26]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({str(n): lambda n=n: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, n) for n in (0, 4, 15)})
