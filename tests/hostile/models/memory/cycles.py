# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

import gc

from hostile import add, spoil, state


class Knot:
    def __init__(self):
        self.own = self
        self.ballast = bytearray(1 << 16)


def attack(world):
    """Garbage that is never collected."""
    spoil()
    gc.disable()
    while True:
        Knot()
