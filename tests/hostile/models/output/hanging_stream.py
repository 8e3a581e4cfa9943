# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

import sys

from hostile import add, spoil, state


class Hanging:
    def write(self, text):
        pass

    def flush(self):
        while True:
            pass


def attack(world):
    spoil()
    sys.stdout = Hanging()
