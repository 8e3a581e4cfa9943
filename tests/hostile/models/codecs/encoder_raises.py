# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


def encode(value):
    raise SystemExit


Epicenter.register_custom_encoder(Thing, encode)


def attack(world):
    spoil()
    return Thing()
