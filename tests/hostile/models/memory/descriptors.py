# /// attack
# lives = true
# rows = [47]
# result = 'true'
# ///

import os

from hostile import add, spoil, state

kept = []


def attack(world):
    spoil()
    try:
        while len(kept) < 5000:
            kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    return 1 <= len(kept) <= 64
