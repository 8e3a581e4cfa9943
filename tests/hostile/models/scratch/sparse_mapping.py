# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "SIGBUS"
# ///

import mmap

from hostile import add, spoil, state


def attack(world):
    """A mapping larger than the disk beneath it, filled."""
    spoil()
    with open("sparse", "wb+") as file:
        file.truncate(60 << 20)
        view = mmap.mmap(file.fileno(), 60 << 20)
    for place in range(0, 60 << 20, 4096):
        view[place] = 1
