# /// attack
# rows = []
# lives = true
# ///

import fcntl

from hostile import add, got_through, spoil, state


def attack(world):
    """Locks on files that others read."""
    spoil()
    here = open(__file__)
    return got_through({"write lock": lambda: fcntl.lockf(here, fcntl.LOCK_EX | fcntl.LOCK_NB)})
