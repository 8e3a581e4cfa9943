# /// attack
# lives = true
# rows = [10]
# links = {shadow = "/etc/shadow", passwd = "/etc/passwd", root = "/", up = "..", other = "../../other/secret.txt"}
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    here = os.path.dirname(__file__)
    paths = [f"{here}/{name}" for name in ("shadow", "passwd", "root/etc/passwd", "up/x", "other")]
    attempts = {path: lambda path=path: open(path, "rb").read(1) for path in paths}
    return got_through(attempts | {name: lambda name=name: os.listdir(f"{here}/{name}") for name in ("root", "up")})
