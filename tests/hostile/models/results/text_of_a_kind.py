# /// attack
# rows = []
# lives = true
# result = '"plain"'
# ///

from hostile import add, spoil, state


class Text(str):
    def __str__(self):
        raise SystemExit

    __len__ = __eq__ = __hash__ = encode = __str__


def attack(world):
    spoil()
    return Text("plain")
