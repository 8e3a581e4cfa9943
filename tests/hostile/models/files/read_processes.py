# /// attack
# lives = true
# rows = [2]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    kept = ("environ", "cmdline", "maps", "status", "stat", "mem", "cwd/x", "root/etc/passwd")
    paths = [f"/proc/{pid}/{name}" for pid in [os.getppid(), *world["pids"].values()] for name in kept]
    attempts = {path: lambda path=path: open(path, "rb").read(1) for path in paths}
    folders = [f"/proc/{pid}/fd" for pid in world["pids"].values()]
    return got_through(attempts | {path: lambda path=path: os.listdir(path) for path in folders})
