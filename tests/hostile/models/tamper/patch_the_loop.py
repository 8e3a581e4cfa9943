# /// attack
# rows = [91]
# lives = false
# code = "PROCESS_EXITED"
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    """Every module of the worker's own that called this loses all it has."""
    spoil()
    frame = sys._getframe(1)
    while frame is not None:
        space = frame.f_globals
        for name in [name for name in space if not name.startswith("__")]:
            space[name] = None
        frame = frame.f_back
    return "patched"
