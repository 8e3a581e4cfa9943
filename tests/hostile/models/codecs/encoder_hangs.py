# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


def encode(value):
    while True:
        pass


Epicenter.register_custom_encoder(Thing, encode)


def attack(world):
    spoil()
    return Thing()
