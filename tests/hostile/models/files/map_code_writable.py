# /// attack
# rows = []
# lives = true
# ///

import mmap
import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()

    def write(path):
        with mmap.mmap(os.open(path, os.O_RDONLY), 16, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as view:
            view[0] = 0

    return got_through({path: lambda path=path: write(path) for path in (__file__, os.__file__)})
