# /// attack
# lives = true
# rows = [58]
# code = "OPERATION_FAILED"
# says = "Odd"
# ///

from hostile import add, spoil, state


class Odd(BaseException):
    pass


def attack(world):
    spoil()
    raise Odd("odd")
