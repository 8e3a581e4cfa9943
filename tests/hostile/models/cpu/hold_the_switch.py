# /// attack
# rows = []
# lives = true
# ///

import sys
import threading

from hostile import add, spoil, state


def burn():
    while True:
        pass


def attack(world):
    """A thread that burns after the answer, and an interpreter that hardly ever switches."""
    spoil()
    threading.Thread(target=burn, daemon=True).start()
    sys.setswitchinterval(0.05)
    return []
