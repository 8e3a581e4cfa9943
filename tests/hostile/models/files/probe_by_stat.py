# /// attack
# lives = true
# rows = [20]
# result = '["size"]'
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    """A known leak: existence, size and owner can be seen where folders may be passed; the jail closes it."""
    spoil()
    secret = f"{world['outside']}/secret.txt"
    return got_through({"size": lambda: os.stat(secret).st_size, "content": lambda: open(secret).read()})
