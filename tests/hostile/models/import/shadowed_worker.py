# /// attack
# rows = []
# lives = true
# when = "create"
# beside = {"worker.py" = "raise RuntimeError", "protocol.py" = "raise RuntimeError", "epicenter.py" = "raise RuntimeError", "sitecustomize.py" = "raise RuntimeError"}
# ///

from epicenter import Epicenter
from hostile import add, spoil, state

Epicenter.record("x", 1)
