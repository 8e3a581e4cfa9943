# /// attack
# rows = []
# lives = false
# when = "create"
# code = "LIMIT_EXCEEDED"
# says = "message_rate"
# context = { limits = { messageRate = 10 } }
# ///

from epicenter import Epicenter
from hostile import add, spoil, state

while True:
    Epicenter.callback("nothing", [])
