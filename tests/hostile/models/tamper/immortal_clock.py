# /// attack
# rows = []
# lives = true
# ///

import time

from hostile import add, spoil, state


def attack(world):
    """The functions that tell the time tell nothing any more."""
    spoil()
    for name in ("time", "monotonic", "perf_counter", "time_ns", "gmtime", "localtime"):
        setattr(time, name, None)
    return []
