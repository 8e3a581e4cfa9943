# /// attack
# rows = []
# when = "restore"
# lives = false
# code = "BOOT_TIMEOUT"
# context = {events = {onRestored = {timeoutSeconds = 0.3}}}
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def hang():
    while True:
        pass


Epicenter.subscribe("onRestored", hang)
