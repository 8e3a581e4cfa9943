# /// attack
# lives = false
# rows = [92]
# code = "PROCESS_EXITED"
# ///

import sys

from hostile import add, spoil, state


def hook(event, arguments):
    if event in ("open", "compile", "object.__getattr__"):
        raise RuntimeError("audited")


def attack(world):
    """A hook that nobody can remove."""
    spoil()
    sys.addaudithook(hook)
    open("x", "w")
