# /// attack
# lives = true
# rows = [74]
# result = '{"a": 1}'
# ///

from hostile import add, spoil, state


class Endless(dict):
    def items(self):
        while True:
            pass

    __iter__ = keys = values = __len__ = items


def attack(world):
    spoil()
    return Endless(a=1)
