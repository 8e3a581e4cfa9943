# /// attack
# rows = []
# lives = true
# when = "create"
# code = "BOOT_TIMEOUT"
# seconds = 0.4
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def hang():
    while True:
        pass


Epicenter.subscribe("onInitialized", hang)
