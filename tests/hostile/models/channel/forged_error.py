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
    """An error that is not the model's to give."""
    spoil()
    error = {"code": "RUN_CLOSED", "message": "as if", "information": {}}
    os.write(3, frame(["outcome", REQUEST, "error", msgpack.packb(error), {}, []]))
    time.sleep(3600)
