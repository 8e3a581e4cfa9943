# /// attack
# lives = true
# rows = [68]
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    value = []
    for _ in range(100_000):
        value = [value]
    return value
