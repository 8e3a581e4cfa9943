# /// attack
# lives = true
# rows = [25]
# ///

import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()

    def send():
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", world["udp"]))

    return got_through({"udp": send})
