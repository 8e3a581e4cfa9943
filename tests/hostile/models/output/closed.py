# /// attack
# rows = []
# lives = true
# ///

import os
import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    sys.stdout.close()
    sys.stderr.detach()
    os.close(1)
    os.close(2)
    return []
