# /// attack
# lives = true
# rows = [26]
# ///

import ctypes
import socket

from hostile import add, call, got_through, spoil, state


def attack(world):
    """A pair needs no new socket, but can be written to any address."""
    spoil()
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return got_through({
        "sendto": lambda: first.sendto(b"x", world["unix"]),
        "connect": lambda: first.connect(world["unix"]),
        "sendmsg": lambda: first.sendmsg([b"x"], [], 0, world["unix"]),
        "sendmmsg": lambda: call("sendmmsg", first.fileno(), ctypes.create_string_buffer(64), 1, 0),
    })
