# /// attack
# lives = false
# rows = [85]
# code = "PROCESS_EXITED"
# says = "unexpected 'settled' frame"
# ///

import os
import time

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, frame(["settled", REQUEST, {}, []]))
    time.sleep(3600)
