# /// attack
# rows = []
# lives = false
# when = "create"
# code = "PROCESS_EXITED"
# says = "exit 0"
# ///

import os

os._exit(0)
