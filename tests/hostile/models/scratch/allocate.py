# /// attack
# rows = []
# lives = true
# result = '[]'
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    fd = os.open("big", os.O_CREAT | os.O_RDWR)
    return got_through({
        "fallocate": lambda: os.posix_fallocate(fd, 0, 32 << 20),
        "beyond the limit of a file": lambda: os.ftruncate(fd, 1 << 40),
    })
