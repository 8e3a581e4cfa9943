# /// attack
# lives = true
# rows = [24]
# result = '"No space left on device"'
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    try:
        for number in range(20_000):
            open(f"file{number}", "wb").close()
    except OSError as error:
        return error.strerror
