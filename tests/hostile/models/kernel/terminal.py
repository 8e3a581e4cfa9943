# /// attack
# lives = true
# rows = [41]
# ///

import fcntl
import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    requests = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSCTTY": 0x540E, "TIOCNOTTY": 0x5422, "FIOASYNC": 0x5452,
                "FIOSETOWN": 0x8901, "SIOCGIFCONF": 0x8912, "FS_IOC_SETFLAGS": 0x40086602, "FICLONE": 0x40049409}
    attempts = {f"{name} {fd}": lambda fd=fd, one=one: fcntl.ioctl(fd, one, b"x" * 8)
                for name, one in requests.items() for fd in (0, 1, 3)}
    return got_through(attempts | {"tty": lambda: os.open("/dev/tty", os.O_RDWR), "pty": os.openpty})
