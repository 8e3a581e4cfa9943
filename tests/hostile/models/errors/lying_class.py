# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

from hostile import add, spoil, state


class Lying(Exception):
    __class__ = property(lambda self: MemoryError)

    def __str__(self):
        return 5


def attack(world):
    spoil()
    raise Lying
