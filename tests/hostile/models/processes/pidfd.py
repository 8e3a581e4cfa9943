# /// attack
# lives = true
# rows = [29]
# ///

import os

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    pids = {**world["pids"], "parent": os.getppid(), "self": os.getpid()}
    calls = {f"pidfd_open {name}": (pid, 0) for name, pid in pids.items()}
    return carried_out(calls | {"pidfd_send_signal": (3, 0, 0, 0), "pidfd_getfd": (3, 0, 0)})
