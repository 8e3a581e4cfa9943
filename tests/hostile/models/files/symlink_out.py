# /// attack
# lives = true
# rows = [8]
# ///

import os

from hostile import add, call, got_through, spoil, state


def attack(world):
    spoil()
    secret = f"{world['outside']}/secret.txt"
    attempts = {
        "symlink": lambda: os.symlink(secret, "out"),
        "symlinkat": lambda: os.symlink("/", "root", dir_fd=os.open(".", os.O_RDONLY)),
        "read": lambda: open("out").read(),
        "through": lambda: os.listdir("root"),
    }
    return got_through(attempts)
