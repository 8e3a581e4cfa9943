# /// attack
# rows = []
# lives = false
# when = "restore"
# code = "LIMIT_EXCEEDED"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state

Epicenter.subscribe("onRestored", lambda: bytearray(8 << 30))
