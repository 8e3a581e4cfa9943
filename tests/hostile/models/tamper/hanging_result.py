# /// attack
# lives = false
# rows = [66]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from hostile import add, spoil, state


class Hanging(list):
    def __del__(self):
        while True:
            pass


def attack(world):
    """The result itself."""
    spoil()
    return Hanging()
