# /// attack
# rows = []
# lives = true
# result = '[]'
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    """A limit too low for whoever called this."""
    spoil()
    for limit in range(5, 60):
        try:
            sys.setrecursionlimit(limit)
            break
        except RecursionError:
            pass
    return []
