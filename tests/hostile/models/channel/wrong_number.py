# /// attack
# lives = false
# rows = [85]
# code = "PROCESS_EXITED"
# says = "unexpected 'outcome' frame"
# ///

import os
import time

from frames import frame
from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, frame(["outcome", 77, "completed", b"\xc0", {}, []]))
    time.sleep(3600)
