# /// attack
# lives = true
# rows = [32, 38]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({"memfd": lambda: os.memfd_create("x"), "execute": lambda: os.execve(3, ["x"], {})})
