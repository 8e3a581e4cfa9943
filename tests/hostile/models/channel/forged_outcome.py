# /// attack
# rows = [84]
# lives = false
# result = '"forged"'
# restores = "PROCESS_EXITED"
# ///

import os

import msgpack

from frames import REQUEST, frame
from hostile import add, spoil, state


def attack(world):
    """Its own answer before the true one: it may lie about itself; the true one then is one too many."""
    spoil()
    os.write(3, frame(["outcome", REQUEST, "completed", msgpack.packb("forged"), {}, []]))
