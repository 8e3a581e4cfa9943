# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

import gc

from hostile import add, spoil, state


def attack(world):
    """The worker's own class of errors, with a code of somebody else's."""
    spoil()
    found = [one for one in gc.get_objects() if type(one) is type and one.__name__ == "RefusedError"]
    for kind in found:
        raise kind("OPERATION_FAILED", "as if", path=[object()])
    raise ValueError("none")
