# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    error = ValueError("last")
    for _ in range(100_000):
        outer = ValueError()
        outer.__cause__ = error
        error = outer
    error.__context__ = error
    raise error
