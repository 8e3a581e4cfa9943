# /// attack
# lives = true
# rows = [101]
# ///

import ctypes
import time

from hostile import add, carried_out, got_through, spoil, state


def attack(world):
    spoil()
    calls = {"clock_settime": (0, ctypes.create_string_buffer(16)), "settimeofday": (0, 0), "adjtimex": (0,),
             "clock_adjtime": (0, 0), "timer_create": (0, 0, 0), "unshare": (0x80,)}
    return carried_out(calls) + got_through({"set": lambda: time.clock_settime(time.CLOCK_REALTIME, 1)})
