# /// attack
# lives = false
# rows = [87]
# code = "PROCESS_EXITED"
# says = "not msgpack"
# ///

import os
import struct
import time

from hostile import add, spoil, state


def attack(world):
    spoil()
    body = b"\x91" * 200_000 + b"\xc0"
    os.write(3, struct.pack(">I", len(body)) + body)
    time.sleep(3600)
