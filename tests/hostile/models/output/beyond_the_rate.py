# /// attack
# rows = [75]
# lives = true
# context = { limits = { messageRate = 1 } }
# ///

from hostile import add, spoil, state


def attack(world):
    """Lines that are dropped, and end nothing."""
    spoil()
    for number in range(10_000):
        print(number, flush=True)
    return []
