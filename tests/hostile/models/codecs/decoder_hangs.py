# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ask = {type = "write_variables", values = {thing = 1}}
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


def decode(name, variable, text, mode):
    spoil()
    while True:
        pass


Epicenter.register_custom_decoder(Thing, decode)
thing = Thing()
