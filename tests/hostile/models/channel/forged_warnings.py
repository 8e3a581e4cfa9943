# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import os
import time

import msgpack

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    spoil()
    os.write(3, frame(["outcome", REQUEST, "completed", msgpack.packb("forged"), {}, [5, {"code": ["x"]}, {"path": 1}]]))
    time.sleep(3600)
