# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# says = "memory_bytes"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    text = "x"
    while True:
        text += text
