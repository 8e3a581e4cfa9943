# /// attack
# lives = true
# rows = [7]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    here = os.path.dirname(__file__)
    paths = ["/", "/etc", "/home", "/root", "/tmp", "/var", "/dev", "/run", "..", world["models"], f"{here}/.."]
    return got_through({path: lambda path=path: os.listdir(path) for path in paths})
