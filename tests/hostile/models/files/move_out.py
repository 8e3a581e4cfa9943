# /// attack
# rows = []
# lives = true
# ///

import os
import shutil

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    open("bait", "w").write("x")
    outside, here = world["outside"], os.path.dirname(__file__)
    return got_through({
        "rename": lambda: os.rename("bait", f"{outside}/bait"),
        "into the model": lambda: os.rename("bait", f"{here}/bait"),
        "fetch": lambda: os.rename(f"{outside}/secret.txt", "secret"),
        "replace": lambda: os.replace("bait", __file__),
        "copy": lambda: shutil.copy("bait", f"{outside}/bait"),
        "take": lambda: shutil.copy(f"{outside}/secret.txt", "secret"),
        "tmp": lambda: shutil.copy("bait", "/tmp/bait"),
        "shm": lambda: shutil.copy("bait", "/dev/shm/bait"),
    })
