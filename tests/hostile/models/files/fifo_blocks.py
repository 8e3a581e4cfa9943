# /// attack
# lives = true
# rows = [15]
# when = "create"
# code = "BOOT_TIMEOUT"
# seconds = 0.4
# fifos = ["blocks.py"]
# ///

import os

open(os.path.join(os.path.dirname(__file__), "blocks.py"))
