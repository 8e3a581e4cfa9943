# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

from hostile import add, spoil, state


def attack(world):
    """Its own code, while it runs, and its own arguments."""
    spoil()
    attack.__code__ = (lambda: 1 / 0).__code__
    attack.__defaults__ = attack.__kwdefaults__ = None
    world.clear()
    return attack()
