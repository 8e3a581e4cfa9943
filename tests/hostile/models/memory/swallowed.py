# /// attack
# lives = false
# rows = [46]
# code = "OPERATION_TIMEOUT"
# seconds = 0.5
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    blocks = []
    while True:
        try:
            blocks.append(bytearray(1 << 20))
        except MemoryError:
            pass
