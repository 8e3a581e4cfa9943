# /// attack
# lives = true
# rows = [16]
# ///

import os
import sysconfig

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    here = os.path.dirname(__file__)
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    attempts = {path: lambda path=path: open(path, "ab") for path in (__file__, f"{here}/hostile.py", os.__file__)}
    made = [f"{folder}/planted" for folder in (here, *libraries, world["models"], f"{world['models']}/other")]
    attempts |= {path: lambda path=path: open(path, "xb") for path in made}
    attempts["unlink"] = lambda: os.unlink(__file__)
    attempts["truncate"] = lambda: os.truncate(__file__, 0)
    return got_through(attempts)
