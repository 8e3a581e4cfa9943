# /// attack
# rows = []
# when = "leave"
# lives = false
# ///

import os

from epicenter import Epicenter
from frames import frame
from hostile import add, spoil, state


def flood():
    """Prints, records and forged answers; nothing of it is heard any more."""
    spoil()
    Epicenter.record("x", 1)
    for _ in range(1000):
        os.write(1, b"x" * 10_000)
        os.write(3, frame(["outcome", 1, "completed", b"\xc0", {}, []]))


Epicenter.subscribe("onTerminating", flood)
