# /// attack
# lives = true
# rows = [28]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    """Signal 0 asks for the permission only."""
    spoil()
    groups = (-1, 0, -os.getpgrp(), -world["pids"]["daemon"], -world["pids"]["zygote"])
    return got_through({str(pid): lambda pid=pid: os.kill(pid, 0) for pid in groups})
