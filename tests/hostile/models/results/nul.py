# /// attack
# lives = true
# rows = [72]
# result = '"a\u0000b\u001b[2J"'
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return "a\0b\x1b[2J"
