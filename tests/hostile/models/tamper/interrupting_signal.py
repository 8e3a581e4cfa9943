# /// attack
# rows = []
# lives = false
# again = true
# ///

import signal

from hostile import add, spoil, state


def refuse(*_):
    raise SystemExit


def attack(world):
    """It raises in the loop, while that waits for the next request."""
    spoil()
    signal.signal(signal.SIGALRM, refuse)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return []
