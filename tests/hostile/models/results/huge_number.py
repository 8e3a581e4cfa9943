# /// attack
# lives = true
# rows = [72, 73]
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return 10**5000
