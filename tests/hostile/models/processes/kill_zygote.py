# /// attack
# lives = true
# rows = [28]
# ///

import os
import signal

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    pids = (os.getppid(), world["pids"]["zygote"])
    return got_through({f"{pid} {n}": lambda pid=pid, n=n: os.kill(pid, n) for pid in pids for n in (0, signal.SIGKILL)})
