# /// attack
# rows = []
# lives = true
# result = '"No space left on device"'
# ///

import os

from hostile import add, spoil, state


def attack(world):
    spoil()
    try:
        for _ in range(20_000):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    except OSError as error:
        return error.strerror
