# /// attack
# rows = []
# lives = true
# when = "create"
# ///

import os

from hostile import add, spoil, state

for _ in range(20):
    os.write(1, b"z" * (1 << 20))
