# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# says = "values"
# ///

import os
import struct
import time

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """An answer of millions of empty lists, which its own side would have refused."""
    spoil()
    value = b"\xdd" + struct.pack(">I", 8_000_000) + b"\x90" * 8_000_000
    message = frame(["outcome", REQUEST, "completed", value, {}, []])
    while message:
        message = message[os.write(3, message) :]
    time.sleep(3600)
