# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "unexpected"
# ///

import os
import time

from frames import frame
from hostile import add, spoil, state


def attack(world):
    """What only the zygote or the supervisor say."""
    spoil()
    for message in (["exited", 1, 0, 0, 0.0], ["forked", 1, 1], ["kill", 1], ["perform", 1]):
        os.write(3, frame(message))
    time.sleep(3600)
