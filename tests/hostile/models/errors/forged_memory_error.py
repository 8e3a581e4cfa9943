# /// attack
# rows = []
# lives = false
# code = "LIMIT_EXCEEDED"
# ///

from hostile import add, spoil, state


def attack(world):
    """One that only says so is taken for one: what came before it is undone."""
    spoil()
    raise MemoryError("there is plenty")
