# /// attack
# lives = true
# rows = [96]
# when = "create"
# code = "MODEL_LOAD_FAILED"
# says = "SystemExit"
# ///

import sys

sys.exit(0)
