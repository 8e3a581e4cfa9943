# /// attack
# lives = true
# rows = [69]
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    value = {}
    value["self"] = value
    return value
