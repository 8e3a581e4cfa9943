# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# ///

from collections.abc import Mapping

from hostile import add, spoil, state


class Growing(Mapping):
    def __iter__(self):
        number = 0
        while True:
            number += 1
            yield number

    def __len__(self):
        return 1

    def __getitem__(self, key):
        return key


def attack(world):
    spoil()
    return Growing()
