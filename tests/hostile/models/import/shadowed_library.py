# /// attack
# rows = []
# lives = true
# when = "create"
# beside = {"json.py" = "raise SystemExit", "msgpack.py" = "raise SystemExit", "socket.py" = "raise SystemExit", "inspect.py" = "raise SystemExit", "traceback.py" = "raise SystemExit", "encodings.py" = "raise SystemExit"}
# ///

from hostile import add, spoil, state
