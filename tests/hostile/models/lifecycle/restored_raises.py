# /// attack
# rows = []
# lives = true
# when = "restore"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def fail():
    raise SystemExit


Epicenter.subscribe("onRestored", fail)
