# /// attack
# rows = []
# lives = true
# code = "RESULT_TOO_LARGE"
# says = "values"
# ///

from hostile import add, spoil, state


def attack(world):
    """Within its bytes, and yet more than anybody could read at once."""
    spoil()
    return [1] * 2_000_000
