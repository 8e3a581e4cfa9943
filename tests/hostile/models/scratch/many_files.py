# /// attack
# lives = true
# rows = [23]
# result = '"No space left on device"'
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    try:
        for number in range(200):
            with open(f"file{number}", "wb") as file:
                file.write(bytes(1 << 20))
    except OSError as error:
        return error.strerror
