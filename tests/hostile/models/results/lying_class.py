# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ///

from hostile import add, spoil, state


class Lying:
    __class__ = property(lambda self: dict)

    def items(self):
        return [(self, self)]


def attack(world):
    spoil()
    return Lying()
