# /// attack
# rows = []
# lives = true
# ///

import atexit
import threading

from hostile import add, spoil, state

forever = threading.Event()


def attack(world):
    spoil()
    atexit.register(forever.wait)
    return []
