# /// attack
# lives = true
# rows = [70]
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return object()
