# /// attack
# rows = []
# lives = false
# result = '"armed"'
# ///

import os
import threading

from hostile import add, spoil, state


def attack(world):
    spoil()
    threading.Timer(0.05, os._exit, (5,)).start()
    return "armed"
