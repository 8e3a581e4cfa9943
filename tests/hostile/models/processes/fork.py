# /// attack
# lives = true
# rows = [31]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()

    def fork(make):
        pid = make()
        pid = pid[0] if isinstance(pid, tuple) else pid
        if pid == 0:
            os._exit(0)

    return got_through({"fork": lambda: fork(os.fork), "forkpty": lambda: fork(os.forkpty)})
