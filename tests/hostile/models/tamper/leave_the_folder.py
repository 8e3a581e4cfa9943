# /// attack
# rows = []
# lives = true
# ///

import os

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    os.environ.clear()
    os.umask(0)
    return []
