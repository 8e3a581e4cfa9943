# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ask = {type = "write_variables", values = {thing = 1}}
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


def decode(name, variable, text, mode):
    spoil()


Epicenter.register_custom_decoder(Thing, decode)
thing = Thing()
