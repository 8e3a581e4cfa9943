# /// attack
# rows = []
# lives = true
# when = "create"
# ///

import model

from hostile import add, spoil, state
