# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ask = {type = "write_variables", values = {thing = 1}}
# ///

import os

from epicenter import Epicenter
from hostile import add, spoil, state


class Thing:
    pass


def decode(name, variable, text, mode):
    spoil()
    os._exit(1)


Epicenter.register_custom_decoder(Thing, decode)
thing = Thing()
