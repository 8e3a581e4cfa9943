# /// attack
# rows = []
# lives = true
# ///

import os
import random
import uuid

from hostile import add, spoil, state


def attack(world):
    spoil()
    os.urandom = uuid.uuid4 = random.random = random.getrandbits = random.seed = None
    random.setstate = random.getstate = None
    return []
