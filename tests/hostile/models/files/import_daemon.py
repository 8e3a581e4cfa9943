# /// attack
# lives = true
# rows = [21]
# ///

import importlib

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    names = ("worker.settings", "worker.child.main", "worker.channel", "protocol.client", "worker", "protocol")
    return got_through({name: lambda name=name: importlib.import_module(name) for name in names})
