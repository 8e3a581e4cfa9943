# /// attack
# lives = true
# rows = [30]
# ///

import fcntl
import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    read, write = os.pipe()
    victim = world["pids"]["bystander"]
    return got_through({
        "owner": lambda: fcntl.fcntl(read, fcntl.F_SETOWN, victim),
        "owner by group": lambda: fcntl.fcntl(read, fcntl.F_SETOWN, -victim),
        "signal": lambda: fcntl.fcntl(read, fcntl.F_SETSIG, 9),
        "notify": lambda: fcntl.fcntl(os.open(".", os.O_RDONLY), fcntl.F_NOTIFY, 2),
        "lease": lambda: fcntl.fcntl(write, fcntl.F_SETLEASE, fcntl.F_WRLCK),
    })
