# /// attack
# lives = true
# rows = [17]
# ///

import os

from hostile import add, call, got_through, spoil, state


def attack(world):
    spoil()

    def beneath(folder, name):
        root = os.open(folder, os.O_PATH)
        os.close(os.open(name, os.O_RDONLY, dir_fd=root))

    def relative():
        os.chdir("/etc")
        open("passwd").read()

    def by_descriptor():
        os.fchdir(os.open("/", os.O_PATH))
        open("etc/passwd").read()

    attempts = {
        "chdir": relative,
        "openat": lambda: beneath("/", "etc/passwd"),
        "openat outside": lambda: beneath(world["outside"], "secret.txt"),
        "fchdir": by_descriptor,
        "chroot": lambda: os.chroot("."),
        "openat2": lambda: call("openat2", -100, 0, 0, 24),
    }
    through = got_through(attempts)
    os.chdir(os.environ["TMPDIR"])
    return through
