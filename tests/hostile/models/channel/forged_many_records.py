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
    """Each of its records is small enough, all together are not."""
    spoil()
    value = b"\xdd" + struct.pack(">I", 50_000) + b"\x90" * 50_000
    message = frame(["outcome", REQUEST, "completed", b"\xc0", {f"{number}": value for number in range(60)}, []])
    while message:
        message = message[os.write(3, message) :]
    time.sleep(3600)
