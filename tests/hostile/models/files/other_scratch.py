# /// attack
# lives = true
# rows = [6]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    open("mine", "w").close()
    over = os.path.dirname(os.environ["TMPDIR"])
    attempts = {
        "list": lambda: os.listdir(over),
        "read": lambda: open(f"{over}/owner", "rb").read(1),
        "make": lambda: open(f"{over}/x", "wb"),
        "enter": lambda: os.mkdir(f"{over}/folder"),
        "truncate": lambda: os.truncate(f"{over}/owner", 0),
        "unlink": lambda: os.unlink(f"{over}/owner"),
        "remove": lambda: os.rmdir(os.environ["TMPDIR"]),
        "neighbour": lambda: os.listdir(f"/proc/{world['pids']['bystander']}/cwd"),
    }
    return got_through(attempts) + [name for name in os.listdir(".") if name != "mine"]
