# /// attack
# rows = []
# when = "leave"
# lives = false
# context = {events = {onTerminating = {timeoutSeconds = 0.3}}}
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def hang():
    while True:
        pass


Epicenter.subscribe("onTerminating", hang)
