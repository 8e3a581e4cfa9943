# /// attack
# lives = false
# rows = [79]
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    raise ValueError("x" * (1 << 30))
