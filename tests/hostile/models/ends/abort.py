# /// attack
# lives = false
# rows = [60]
# code = "PROCESS_EXITED"
# says = "SIGABRT"
# ///

import os

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.abort()
