# /// attack
# lives = true
# rows = [40]
# ///

import os

from hostile import add, call, got_through, number, spoil, state


def attack(world):
    spoil()
    bit = 0x40000000
    names = ("getpid", "socket", "execve", "clone", "ptrace")
    attempts = {name: lambda name=name: call(bit | number(name), 0, 0, 0) for name in names}
    through = got_through(attempts)
    return through
