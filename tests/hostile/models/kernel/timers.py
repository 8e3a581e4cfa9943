# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# says = "SIGALRM"
# ///

import signal
import time

from hostile import add, spoil, state


def attack(world):
    """A timer of its own that nobody handles."""
    spoil()
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(60)
