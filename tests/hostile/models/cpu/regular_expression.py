# /// attack
# lives = false
# rows = [51]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import re

from hostile import add, spoil, state


def attack(world):
    spoil()
    return bool(re.match(r"(a+)+$", "a" * 64 + "b"))
