# /// attack
# rows = []
# lives = true
# when = "create"
# code = "BOOT_TIMEOUT"
# seconds = 0.4
# ///

import time

time.sleep(3600)
