# /// attack
# lives = false
# rows = [49]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    while True:
        pass
