# /// attack
# rows = []
# lives = true
# ///

import importlib.util
import os
import py_compile

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    folder = f"{os.path.dirname(__file__)}/__pycache__"
    attempts = {
        "folder": lambda: os.mkdir(folder),
        "file": lambda: open(f"{folder}/x.pyc", "wb"),
        "compile": lambda: py_compile.compile(__file__, doraise=True),
        "of the library": lambda: open(importlib.util.cache_from_source(os.__file__), "r+b"),
    }
    return got_through(attempts)
