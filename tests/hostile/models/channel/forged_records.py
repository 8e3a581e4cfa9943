# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import os

import msgpack

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """Records under names that are none, with values that are none."""
    spoil()
    records = {"\x00" * 100_000: b"\xc1", 5: b"", "x": "no bytes"}
    os.write(3, frame(["outcome", REQUEST, "completed", msgpack.packb("forged"), records, []]))
    os.read(0, 1)
    while True:
        pass
