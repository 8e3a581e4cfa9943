# /// attack
# lives = false
# rows = [77]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from hostile import add, spoil, state


class Endless(Exception):
    def __str__(self):
        while True:
            pass


def attack(world):
    spoil()
    raise Endless
