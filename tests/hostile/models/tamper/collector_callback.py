# /// attack
# rows = []
# lives = true
# ///

import gc

from hostile import add, spoil, state


def refuse(*_):
    raise SystemExit


def attack(world):
    spoil()
    gc.callbacks.append(refuse)
    gc.set_threshold(1)
    gc.collect()
    return []
