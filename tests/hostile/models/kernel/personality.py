# /// attack
# lives = true
# rows = [36, 38]
# ///

from hostile import add, carried_out, spoil, state


def attack(world):
    """No address randomisation, and every readable page executable."""
    spoil()
    return carried_out({"personality": (0x0040000,), "personality read": (0x0400000,), "personality ask": (-1,)})
