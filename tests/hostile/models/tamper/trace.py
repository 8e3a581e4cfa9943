# /// attack
# lives = true
# rows = [92]
# code = "OPERATION_FAILED"
# says = "traced"
# ///

import sys
import threading

from hostile import add, spoil, state


def trace(*_):
    raise RuntimeError("traced")


def attack(world):
    spoil()
    sys.settrace(trace)
    sys.setprofile(trace)
    threading.settrace(trace)
    return "traced"
