# /// attack
# rows = [91]
# lives = false
# next = "PROCESS_EXITED"
# restores = "PROCESS_EXITED"
# result = '"done"'
# ///

import sys

from hostile import add, spoil, state


def attack(world):
    """The code that takes the next request."""
    spoil()

    def handle(self, message):
        raise SystemExit(0)

    frame = sys._getframe(1)
    while frame is not None:
        process = frame.f_locals.get("process")
        if process is not None:
            type(process).handle = handle
        frame = frame.f_back
    return "done"
