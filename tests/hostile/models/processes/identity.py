# /// attack
# lives = true
# rows = [36]
# ///

import os

from hostile import add, carried_out, got_through, spoil, state


def attack(world):
    spoil()
    ids = {
        "setuid": lambda: os.setuid(0),
        "setgid": lambda: os.setgid(0),
        "setgroups": lambda: os.setgroups([0]),
        "setresuid": lambda: os.setresuid(0, 0, 0),
        "setreuid": lambda: os.setreuid(0, 0),
        "setsid": os.setsid,
        "setpgid": lambda: os.setpgid(0, 0),
    }
    return got_through(ids) + carried_out({"capset": (0, 0), "setfsuid": (0,), "setfsgid": (0,), "capget": (0, 0)})
