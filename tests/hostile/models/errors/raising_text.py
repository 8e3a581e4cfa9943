# /// attack
# lives = true
# rows = [78]
# code = "OPERATION_FAILED"
# says = "Mute"
# ///

from hostile import add, spoil, state


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


def attack(world):
    spoil()
    raise Mute
