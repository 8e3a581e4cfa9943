# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    return (number for number in range(1 << 60))
