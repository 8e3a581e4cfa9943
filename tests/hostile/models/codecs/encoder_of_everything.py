# /// attack
# rows = []
# lives = true
# result = '"mine"'
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    """Of plain texts too, from here on."""
    spoil()
    Epicenter.register_custom_encoder(list, lambda value: '"mine"')
    return []
