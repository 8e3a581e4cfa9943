# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ask = {type = "write_variables", values = {thing = 1}}
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


def decode(name, variable, text, mode):
    spoil()
    raise SystemExit


Epicenter.register_custom_decoder(Thing, decode)
thing = Thing()
