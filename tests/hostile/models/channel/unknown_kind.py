# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "unexpected"
# ///

import os
import time

from frames import frame
from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, frame(["\x1b[2J" * 10_000, {"a": [1] * 1000}]))
    time.sleep(3600)
