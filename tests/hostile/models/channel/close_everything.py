# /// attack
# lives = false
# rows = [80]
# code = "PROCESS_EXITED"
# ///

import os
import time

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.closerange(0, 1024)
    time.sleep(3600)
