# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from collections.abc import Mapping

from hostile import add, spoil, state


class Endless(Mapping):
    def __iter__(self):
        while True:
            pass

    def __len__(self):
        return 1

    def __getitem__(self, key):
        return key


def attack(world):
    spoil()
    return Endless()
