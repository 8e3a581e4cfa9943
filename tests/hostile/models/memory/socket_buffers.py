# /// attack
# rows = []
# lives = true
# result = 'true'
# ///

import socket

from hostile import add, got_through, spoil, state

kept = []


def attack(world):
    """Memory of the kernel by pairs of sockets."""
    spoil()
    filled = 0
    try:
        while len(kept) < 5000:
            pair = socket.socketpair()
            kept.append(pair)
            got_through({"larger": lambda: pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)})
            pair[0].setblocking(False)
            while True:
                try:
                    filled += pair[0].send(bytes(65536))
                except BlockingIOError:
                    break
    except OSError:
        pass
    return 0 < filled <= 32 << 20
