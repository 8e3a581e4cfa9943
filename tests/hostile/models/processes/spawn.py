# /// attack
# lives = true
# rows = [31]
# ///

import os
import subprocess

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    return got_through({
        "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "subprocess": lambda: subprocess.run(["/bin/true"]),
        "system": lambda: None if os.system("true") == 0 else 1 / 0,
        "popen": lambda: subprocess.Popen("true", shell=True),
    })
