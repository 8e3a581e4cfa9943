# /// attack
# rows = []
# lives = true
# ///

import signal

from hostile import add, spoil, state


def attack(world):
    spoil()
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    return []
