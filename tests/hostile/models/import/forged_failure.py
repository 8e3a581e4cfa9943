# /// attack
# rows = []
# lives = false
# when = "create"
# code = "PROCESS_EXITED"
# ///

import os
import time

from frames import frame

os.write(3, frame(["boot_failed", {"code": "PERMIT_VIOLATION", "message": "x", "information": {}}]))
time.sleep(3600)
