# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    raise type("N\ud800" * 1_000_000, (Exception,), {})("\ud800\x00\x1b[2J")
