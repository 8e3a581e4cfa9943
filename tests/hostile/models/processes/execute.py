# /// attack
# lives = true
# rows = [32]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    paths = ("/bin/true", "/usr/bin/su", "/bin/sh", os.sys.executable)
    return got_through({path: lambda path=path: os.execv(path, [path]) for path in paths})
