# /// attack
# lives = true
# rows = [38]
# ///

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    return carried_out({"setns": (3, 0), "setns anything": (0, 0x40000000)})
