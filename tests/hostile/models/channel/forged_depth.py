# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "nested deeper"
# context = { limits = { resultDepth = 2 } }
# ///

import os
import time

import msgpack
from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """An answer that its own side would have refused, by the limit of its context."""
    spoil()
    os.write(3, frame(["outcome", REQUEST, "completed", msgpack.packb([[[]]]), {}, []]))
    time.sleep(3600)
