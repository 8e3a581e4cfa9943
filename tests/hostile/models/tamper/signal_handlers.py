# /// attack
# rows = []
# lives = true
# ///

import os
import signal

from hostile import add, got_through, spoil, state


def attack(world):
    """Every signal raises, wherever it comes, and one is on its way."""
    spoil()

    def refuse(*_):
        raise SystemExit

    for number in signal.valid_signals():
        got_through({"": lambda: signal.signal(number, refuse)})
    signal.setitimer(signal.ITIMER_REAL, 3600)
    return []
