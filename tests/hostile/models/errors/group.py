# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    group = ExceptionGroup("g", [ValueError("x")] * 1000)
    for _ in range(400):
        group = ExceptionGroup("g", [group])
    raise group
