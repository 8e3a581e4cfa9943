# /// attack
# rows = [55]
# lives = false
# code = "LIMIT_EXCEEDED"
# says = "cpu_seconds"
# seconds = 90.0
# context = { limits = { cpuSeconds = 1 } }
# ///

import signal

from hostile import add, spoil, state


def attack(world):
    """Goes on behind the signal that tells of the limit, up to the one that nobody can ignore."""
    spoil()
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        sum(range(10_000))
