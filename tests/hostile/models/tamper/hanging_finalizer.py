# /// attack
# lives = false
# rows = [66]
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from hostile import add, spoil, state


class Hanging:
    def __del__(self):
        while True:
            pass


def attack(world):
    """When its last reference goes, the answer is not sent yet."""
    spoil()
    return [Hanging()] and []
