# /// attack
# lives = true
# rows = [72]
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return "\ud800"
