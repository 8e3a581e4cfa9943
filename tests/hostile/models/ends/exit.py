# /// attack
# lives = false
# rows = [56]
# code = "PROCESS_EXITED"
# says = "exit 0"
# ///

import os

from hostile import add, spoil, state


def attack(world):
    spoil()
    os._exit(0)
