# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# says = "message_rate"
# context = { limits = { messageRate = 10 } }
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    """Keeps the worker busy with calls of a function that nobody has."""
    spoil()
    while True:
        Epicenter.callback("nothing", [])
