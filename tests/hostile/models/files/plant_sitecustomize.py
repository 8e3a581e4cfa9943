# /// attack
# rows = []
# lives = true
# ///

import os
import sysconfig

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    attempts = {}
    for name in ("sitecustomize.py", "usercustomize.py", "planted.pth"):
        for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), os.path.dirname(__file__)):
            path = f"{folder}/{name}"
            attempts[path] = lambda path=path: open(path, "w").write("import os; os._exit(9)")
    return got_through(attempts)
