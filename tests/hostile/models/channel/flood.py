# /// attack
# lives = false
# rows = [86]
# code = "PROCESS_EXITED"
# says = "unexpected 'outcome' frame"
# ///

import os

from frames import frame
from hostile import add, spoil, state


def attack(world):
    spoil()
    number = 1000
    while True:
        number += 1
        os.write(3, frame(["outcome", number, "completed", b"\xc0", {}, []]))
