# /// attack
# lives = true
# rows = [92]
# code = "OPERATION_FAILED"
# says = "audited"
# ///

import sys

from hostile import add, spoil, state


def hook(event, arguments):
    if event in ("open", "compile"):
        raise RuntimeError("audited")


def attack(world):
    """A hook that nobody can remove."""
    spoil()
    sys.addaudithook(hook)
    open("x", "w")
