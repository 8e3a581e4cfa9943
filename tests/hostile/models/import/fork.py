# /// attack
# rows = []
# lives = true
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "PermissionError"
# ///

import os

os.fork()
