# /// attack
# lives = false
# rows = [83]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import os
import time

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, b"\0\0\x03\xe8\x90")
    time.sleep(3600)
