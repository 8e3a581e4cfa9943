# /// attack
# lives = false
# rows = [63]
# code = "PROCESS_EXITED"
# says = "SIGSEGV"
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    sys.setrecursionlimit(2**31 - 1)
    one, other = [], []
    for _ in range(200_000):
        one, other = [one], [other]
    return one == other
