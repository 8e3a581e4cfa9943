# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return len({number * (2**61 - 1) for number in range(10**6)})
