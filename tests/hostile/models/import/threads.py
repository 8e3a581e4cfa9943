# /// attack
# rows = []
# lives = true
# when = "create"
# ///

import threading

from hostile import add, spoil, state

for _ in range(16):
    threading.Thread(target=threading.Event().wait).start()
