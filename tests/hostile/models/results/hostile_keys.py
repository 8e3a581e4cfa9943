# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


class Key:
    def __hash__(self):
        return 1

    def __eq__(self, other):
        raise SystemExit

    def __str__(self):
        return "same"


def attack(world):
    spoil()
    return {Key(): 1}
