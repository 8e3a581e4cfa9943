# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import gc

from hostile import add, spoil, state


def attack(world):
    """Every object of the worker's own loses its attributes."""
    spoil()
    for thing in gc.get_objects():
        if type(thing).__module__.startswith("worker."):
            for name in list(getattr(thing, "__dict__", ())):
                try:
                    delattr(thing, name)
                except Exception:
                    pass
    return "robbed"
