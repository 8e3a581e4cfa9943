# /// attack
# rows = []
# lives = true
# ///

from epicenter import Epicenter
from hostile import add, got_through, spoil, state


class Name(str):
    def __len__(self):
        return 5


def attack(world):
    spoil()
    names = ("", "x" * 100_000, None, 5, b"x", Name("y" * 100_000))
    return [repr(name)[:20] for name in names if got_through({"": lambda: Epicenter.record(name, 1)})]
