# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "name of a record"
# ///

import os
import time

import msgpack

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """A record whose name the model's side would refuse."""
    spoil()
    os.write(3, frame(["outcome", REQUEST, "completed", msgpack.packb(1), {"x" * 100_000: msgpack.packb(1)}, []]))
    time.sleep(3600)
