# /// attack
# lives = true
# rows = [45]
# code = "OPERATION_FAILED"
# says = "Cannot allocate memory"
# ///

import mmap

from hostile import add, spoil, state

views = []


def attack(world):
    spoil()
    for _ in range(1000):
        views.append(mmap.mmap(-1, 64 << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x4000))
