# /// attack
# rows = []
# lives = true
# when = "create"
# beside = {"planted.pth" = "import os; os._exit(9)", "usercustomize.py" = "import os; os._exit(9)"}
# ///

import site

from hostile import add, spoil, state
