# /// attack
# lives = true
# rows = [26]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({
        "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "ping": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
    })
