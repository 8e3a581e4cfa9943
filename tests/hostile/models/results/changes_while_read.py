# /// attack
# rows = []
# lives = true
# result = '{"a": 1}'
# ///

from hostile import add, spoil, state


class Grows(dict):
    def __getitem__(self, key):
        self[len(self)] = 1
        return 1

    def items(self):
        for key in self:
            yield key, self[key]


def attack(world):
    spoil()
    return Grows(a=1)
