# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    sys.set_int_max_str_digits(0)
    return len(str(1 << (1 << 25)))
