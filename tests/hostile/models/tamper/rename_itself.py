# /// attack
# rows = []
# lives = true
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    globals()["__name__"] = ["no name"]
    globals()["__builtins__"] = {}
    return []
