# /// attack
# lives = true
# rows = [9]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    paths = ("/etc/shadow", f"{world['outside']}/secret.txt", f"{world['models']}/other/model.py", __file__)
    attempts = {path: lambda path=path: os.link(path, "linked") for path in paths}
    return got_through(attempts | {"read": lambda: open("linked").read()})
