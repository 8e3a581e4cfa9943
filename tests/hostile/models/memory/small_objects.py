# /// attack
# lives = false
# rows = [44]
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return [bytes(200) for _ in range(1 << 40)]
