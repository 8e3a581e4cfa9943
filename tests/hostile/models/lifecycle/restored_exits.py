# /// attack
# rows = []
# lives = false
# when = "restore"
# code = "PROCESS_EXITED"
# ///

import os

from epicenter import Epicenter
from hostile import add, spoil, state

Epicenter.subscribe("onRestored", lambda: os._exit(0))
