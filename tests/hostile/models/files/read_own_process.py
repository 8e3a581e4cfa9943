# /// attack
# lives = true
# rows = [3]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    names = ("environ", "maps", "mem", "status", "cmdline", "auxv", "stack", "mountinfo")
    paths = [f"/proc/{who}/{name}" for who in ("self", "thread-self", os.getpid()) for name in names]
    attempts = {path: lambda path=path: open(path, "rb").read(1) for path in [*paths, "/proc/cpuinfo", "/proc/net/tcp"]}
    folders = ("/proc", "/proc/self", "/proc/self/fd", "/proc/self/ns")
    return got_through(attempts | {path: lambda path=path: os.listdir(path) for path in folders})
