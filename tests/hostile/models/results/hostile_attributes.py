# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ///

from dataclasses import dataclass

from hostile import add, spoil, state


@dataclass
class Hostile:
    value: int = 1

    def __getattribute__(self, name):
        raise KeyboardInterrupt


def attack(world):
    spoil()
    return Hostile()
