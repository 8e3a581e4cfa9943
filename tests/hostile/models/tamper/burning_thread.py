# /// attack
# lives = true
# rows = [64]
# ///

import threading

from hostile import add, spoil, state


def burn():
    while True:
        pass


def attack(world):
    spoil()
    threading.Thread(target=burn, daemon=True).start()
    return []
