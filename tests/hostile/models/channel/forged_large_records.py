# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# says = "record_bytes"
# ///

import os
import time

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """More than its own side would have let it record."""
    spoil()
    message = frame(["outcome", REQUEST, "completed", b"\xc0", {"large": b"\xdb\x00\x60\x00\x00" + b"x" * 0x600000}, []])
    while message:
        message = message[os.write(3, message) :]
    time.sleep(3600)
