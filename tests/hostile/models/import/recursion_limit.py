# /// attack
# rows = []
# lives = true
# when = "create"
# ///

import sys

from hostile import add, spoil, state

sys.setrecursionlimit(60)
