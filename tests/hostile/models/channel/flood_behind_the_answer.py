# /// attack
# rows = [86]
# lives = false
# ///

import os
import threading

from frames import frame
from hostile import add, spoil, state


def flood():
    while True:
        os.write(3, frame(["outcome", 9, "completed", b"\xc0", {}, []]))


def attack(world):
    spoil()
    threading.Timer(0.05, flood).start()
    return []
