# /// attack
# rows = []
# lives = true
# result = 'true'
# ///

import ctypes

from hostile import add, spoil, state


def attack(world):
    spoil()
    allocate = ctypes.CDLL(None).malloc
    allocate.restype = ctypes.c_void_p
    taken = 0
    while taken < 1 << 34 and (place := allocate(ctypes.c_size_t(1 << 20))):
        ctypes.memset(place, 1, 1 << 20)
        taken += 1 << 20
        free.append(place)
    release = ctypes.CDLL(None).free
    for place in free:
        release(ctypes.c_void_p(place))
    return taken < 1 << 30


free = []
