# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "not msgpack"
# ///

import os
import time

import msgpack

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, frame(["outcome", REQUEST, msgpack.ExtType(42, b"x" * 1000)]))
    time.sleep(3600)
