# /// attack
# rows = []
# lives = false
# code = "OPERATION_TIMEOUT"
# seconds = 0.3
# ///

from hostile import add, spoil, state


class Never:
    def __lt__(self, other):
        while True:
            pass


def attack(world):
    spoil()
    return sorted([Never(), Never()])
