# /// attack
# rows = []
# when = "leave"
# lives = false
# ///

import os

from epicenter import Epicenter
from hostile import add, spoil, state

Epicenter.subscribe("onTerminating", lambda: os._exit(3))
