# /// attack
# lives = true
# rows = [57]
# code = "OPERATION_FAILED"
# says = "SystemExit"
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    sys.exit(3)
