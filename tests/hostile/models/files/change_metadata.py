# /// attack
# lives = true
# rows = [19]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    """Some of it pretends to work; that nothing changed is seen from outside."""
    spoil()
    for path in (__file__, f"{world['outside']}/secret.txt", f"{world['models']}/other/model.py", world["data"]):
        for act in (
            lambda: os.chmod(path, 0o777),
            lambda: os.utime(path, (1, 1)),
            lambda: os.utime(path),
            lambda: os.chown(path, os.getuid(), os.getgid()),
        ):
            got_through({"": act})
    return got_through({"setxattr": lambda: os.setxattr(__file__, "user.x", b"1")})
