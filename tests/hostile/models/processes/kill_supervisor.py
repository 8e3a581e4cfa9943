# /// attack
# lives = true
# rows = [28]
# ///

import os
import signal

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({str(n): lambda n=n: os.kill(world["pids"]["daemon"], n) for n in (0, signal.SIGTERM, signal.SIGKILL)})
