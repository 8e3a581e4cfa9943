# /// attack
# rows = []
# lives = true
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    paths = (f"{world['outside']}/secret.txt", f"{world['data']}/worker.db", __file__, os.__file__)
    attempts = {f"truncate {path}": lambda path=path: os.truncate(path, 0) for path in paths}
    return got_through(attempts | {f"open {path}": lambda path=path: os.open(path, os.O_TRUNC) for path in paths})
