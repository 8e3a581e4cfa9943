# /// attack
# lives = true
# rows = [47]
# result = 'true'
# ///

import os
import select

from hostile import add, spoil, state

kept = []


def attack(world):
    spoil()
    try:
        while len(kept) < 5000:
            kept.extend((select.epoll(), os.eventfd(0)))
    except OSError:
        pass
    return 1 <= len(kept) <= 64
