# /// attack
# lives = true
# rows = [4]
# ///

import os
import sys

from hostile import add, spoil, state


def attack(world):
    spoil()
    told = [*map(str, os.environ.items()), *sys.argv, *sys.orig_argv]
    return [text for text in told if "MODEL_WORKER" in text or world["data"] in text]
