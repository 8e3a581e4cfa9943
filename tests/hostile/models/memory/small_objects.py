# /// attack
# lives = false
# rows = [44]
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return [[number, str(number)] for number in range(1 << 40)]
