# /// attack
# lives = false
# rows = [53]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import signal

from hostile import add, spoil, state


def attack(world):
    spoil()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
