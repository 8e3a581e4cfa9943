# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# ///

import os
import time

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, frame(["fault", REQUEST, "memory", "as if"]))
    time.sleep(3600)
