# /// attack
# lives = true
# rows = [5]
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    data, outside = world["data"], world["outside"]
    paths = [f"{data}/worker.db", f"{data}/worker.db-wal", f"{data}/worker.lock", f"{data}/runtime"]
    paths += [f"{outside}/secret.txt", f"{world['models']}/other/secret.txt", f"{world['models']}/other/model.py"]
    attempts = {path: lambda path=path: open(path, "rb").read(1) for path in paths}
    return got_through(attempts | {path: lambda path=path: os.listdir(path) for path in (data, outside)})
