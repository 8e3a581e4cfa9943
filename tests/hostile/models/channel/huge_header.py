# /// attack
# lives = false
# rows = [82]
# code = "PROCESS_EXITED"
# says = "frame of 4294967295 bytes"
# ///

import os
import time

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, b"\xff\xff\xff\xff")
    time.sleep(3600)
