# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import os
import time

from hostile import add, spoil, state


def attack(world):
    """Something else on the channel's number."""
    spoil()
    os.dup2(os.open("/dev/null", os.O_RDWR), 3)
    time.sleep(3600)
