# /// attack
# rows = []
# lives = true
# ///

import sys

from hostile import add, spoil, state


class Finder:
    def find_spec(self, *_):
        while True:
            pass


def attack(world):
    """Whatever is imported from now on never comes."""
    spoil()
    sys.meta_path.insert(0, Finder())
    return []
