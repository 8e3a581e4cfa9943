# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "not msgpack"
# ///

import os
import struct
import time

from hostile import add, spoil, state


def attack(world):
    """A few bytes that claim four thousand million elements, several times over."""
    spoil()
    body = b"\xdd\xff\xff\xff\xff" * 10
    os.write(3, struct.pack(">I", len(body)) + body)
    time.sleep(3600)
