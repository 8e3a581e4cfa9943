# /// attack
# lives = true
# rows = [22]
# result = '"No space left on device"'
# ///

from hostile import add, spoil, state


def attack(world):
    spoil()
    try:
        with open("big", "wb") as file:
            for _ in range(200):
                file.write(bytes(1 << 20))
    except OSError as error:
        return error.strerror
