# /// attack
# rows = []
# when = "leave"
# lives = false
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def fail():
    spoil()
    raise SystemExit


Epicenter.subscribe("onTerminating", fail)
