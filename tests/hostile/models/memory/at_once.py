# /// attack
# lives = false
# rows = [42]
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return len(bytearray(8 << 30))
