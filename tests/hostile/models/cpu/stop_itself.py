# /// attack
# lives = false
# rows = [54]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import os
import signal
import time

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(3600)
