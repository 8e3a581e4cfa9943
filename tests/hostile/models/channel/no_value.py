# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import os
import time

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """Its own answer, whose bytes are no msgpack."""
    spoil()
    os.write(3, frame(["outcome", REQUEST, "completed", b"\xc1\xc1", {}, []]))
    time.sleep(3600)
