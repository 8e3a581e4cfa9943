# /// attack
# lives = true
# rows = [38]
# ///

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    return carried_out({"userfaultfd": (0,), "userfaultfd user mode": (1,)})
