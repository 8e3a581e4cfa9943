# /// attack
# rows = []
# lives = true
# result = '"No space left on device"'
# ///

import os

from hostile import add, spoil, state

held = []


def attack(world):
    spoil()
    try:
        for number in range(50):
            held.append(open(f"f{number}", "wb", buffering=0))
            os.unlink(f"f{number}")
            if held[-1].write(bytes(1 << 20)) < 1 << 20:
                raise OSError(28, "No space left on device")
    except OSError as error:
        return error.strerror
