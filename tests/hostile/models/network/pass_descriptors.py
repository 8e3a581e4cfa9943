# /// attack
# lives = true
# rows = [27]
# ///

import array
import socket

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    first, second = socket.socketpair()
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
    through = got_through({
        "to the worker": lambda: channel.sendmsg([b"x"], rights),
        "to itself": lambda: first.sendmsg([b"x"], rights),
        "from the worker": lambda: socket.recv_fds(channel, 1, 1, socket.MSG_DONTWAIT),
        "credentials": lambda: channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12),
    })
    channel.detach()
    return through
