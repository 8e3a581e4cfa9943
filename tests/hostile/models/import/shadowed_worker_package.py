# /// attack
# rows = []
# lives = true
# when = "create"
# beside = {"worker/__init__.py" = "", "worker/channel.py" = "raise SystemExit"}
# ///

import worker
from hostile import add, spoil, state
