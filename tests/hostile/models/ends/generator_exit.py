# /// attack
# lives = true
# rows = [58]
# code = "OPERATION_FAILED"
# says = "GeneratorExit"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    raise GeneratorExit
