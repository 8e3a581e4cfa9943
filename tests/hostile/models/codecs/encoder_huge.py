# /// attack
# rows = []
# lives = true
# code = "RESULT_TOO_LARGE"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


Epicenter.register_custom_encoder(Thing, lambda value: '"' + "x" * (20 << 20) + '"')


def attack(world):
    spoil()
    return Thing()
