# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


Epicenter.register_custom_encoder(Thing, lambda value: value)


def attack(world):
    spoil()
    return Thing()
