# /// attack
# lives = true
# rows = [65]
# ///

import atexit
import threading

from hostile import add, spoil, state

forever = threading.Event()


def attack(world):
    """Not a daemon: an orderly exit would wait for it."""
    spoil()
    threading.Thread(target=forever.wait).start()
    atexit.register(forever.wait)
    return []
