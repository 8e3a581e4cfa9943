# /// attack
# lives = true
# rows = [33]
# result = 'true'
# ///

import threading

from hostile import add, spoil, state

forever = threading.Event()


def attack(world):
    spoil()
    started = 0
    try:
        while started < 3000:
            threading.Thread(target=forever.wait, daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    return 1 <= started <= 64
