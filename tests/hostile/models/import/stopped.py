# /// attack
# rows = []
# lives = true
# when = "create"
# code = "BOOT_TIMEOUT"
# seconds = 0.4
# ///

import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
