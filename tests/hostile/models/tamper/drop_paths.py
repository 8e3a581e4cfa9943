# /// attack
# rows = []
# lives = true
# result = '"dropped"'
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    sys.path = sys.meta_path = sys.path_hooks = None
    return "dropped"
