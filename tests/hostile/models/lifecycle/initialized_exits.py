# /// attack
# rows = []
# lives = false
# when = "create"
# code = "PROCESS_EXITED"
# ///

import os

from epicenter import Epicenter
from hostile import add, spoil, state

Epicenter.subscribe("onInitialized", lambda: os._exit(0))
