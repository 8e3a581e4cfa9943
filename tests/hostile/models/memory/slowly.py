# /// attack
# lives = false
# rows = [43]
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    blocks = []
    while True:
        blocks.append(bytearray(1 << 20))
