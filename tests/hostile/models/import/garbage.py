# /// attack
# rows = []
# lives = false
# when = "create"
# code = "PROCESS_EXITED"
# ///

import os
import time

os.write(3, b"\xff" * 4096)
time.sleep(3600)
