# /// attack
# rows = []
# lives = true
# code = "OPERATION_FAILED"
# says = "may record"
# ///

from epicenter import Epicenter
from hostile import add, spoil, state


def attack(world):
    spoil()
    text = "x" * 100_000
    for number in range(1000):
        Epicenter.record(f"name{number}", text)
