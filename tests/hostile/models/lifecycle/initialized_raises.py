# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def fail():
    raise SystemExit


Epicenter.subscribe("onInitialized", fail)
