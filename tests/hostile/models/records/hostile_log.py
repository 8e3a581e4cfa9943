# /// attack
# rows = []
# lives = true
# ///

from epicenter import Epicenter
from hostile import add, got_through, spoil, state


class Level(str):
    def upper(self):
        return "FATAL\x1f\n\x1eFATAL"


def attack(world):
    spoil()
    Epicenter.log(Level("x"), "forged\n\x1eFATAL\x1fsecond line\ud800\x00")
    Epicenter.log(None, b"\xff")
    return got_through({"callback": lambda: Epicenter.callback("x" * 1_000_000, object())})
