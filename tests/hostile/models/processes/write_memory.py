# /// attack
# lives = true
# rows = [35]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    names = ("mem", "oom_score_adj", "comm", "clear_refs", "coredump_filter", "setgroups", "uid_map")
    paths = [f"/proc/{pid}/{name}" for pid in ("self", os.getpid(), *world["pids"].values()) for name in names]
    return got_through({path: lambda path=path: os.open(path, os.O_WRONLY) for path in paths})
