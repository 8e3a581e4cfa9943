# /// attack
# rows = []
# lives = true
# ///

from hostile import add, spoil, state


class Raising(list):
    def __del__(self):
        raise SystemExit


def attack(world):
    spoil()
    return Raising()
