# /// attack
# rows = []
# lives = false
# result = '"forged"'
# restores = "PROCESS_EXITED"
# ///

import os

import msgpack

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """Many records under many names, past the limits of its own process."""
    spoil()
    records = {f"name{number}": msgpack.packb(number) for number in range(5000)}
    os.write(3, frame(["outcome", REQUEST, "completed", msgpack.packb("forged"), records, []]))
