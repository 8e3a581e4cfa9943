# /// attack
# rows = []
# lives = false
# when = "create"
# code = "PROCESS_EXITED"
# ///

import os
import time

from frames import frame

os.write(3, frame(["booted", {"x": b"\xc1"}, []]))
time.sleep(3600)
