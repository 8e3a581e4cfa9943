# /// attack
# rows = []
# lives = true
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    """Every variable that the callers have, overwritten where that can be done."""
    spoil()
    frame = sys._getframe(1)
    while frame is not None:
        for name in list(frame.f_locals):
            frame.f_locals[name] = None
        frame.f_trace = None
        frame = frame.f_back
    return []
