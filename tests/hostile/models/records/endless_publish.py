# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# says = "RecursionError"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    spoil()
    Epicenter.subscribe("again", lambda: Epicenter.publish("again"))
    Epicenter.publish("again")
