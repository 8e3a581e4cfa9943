# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "SIGKILL"
# ///

import os
import signal

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.kill(os.getpid(), signal.SIGKILL)
