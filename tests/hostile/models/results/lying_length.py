# /// attack
# rows = []
# lives = true
# result = '[1, 2]'
# ///

from hostile import add, spoil, state


class Lying(list):
    def __len__(self):
        return -1

    def __iter__(self):
        raise SystemExit


def attack(world):
    spoil()
    return Lying([1, 2])
