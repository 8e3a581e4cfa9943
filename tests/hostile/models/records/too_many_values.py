# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# says = "500000 values"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    """Each record may be, all of one action together may not."""
    spoil()
    for number in range(3):
        Epicenter.record(f"many {number}", [0] * 240_000)
    return []
