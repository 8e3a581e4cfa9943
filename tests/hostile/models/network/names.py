# /// attack
# rows = []
# lives = true
# ///

import socket
import urllib.request

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({
        "resolve": lambda: socket.getaddrinfo("example.com", 80),
        "fetch": lambda: urllib.request.urlopen("http://127.0.0.1/", timeout=1),
    })
