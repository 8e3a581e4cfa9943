# /// attack
# rows = []
# lives = false
# code = "PROCESS_EXITED"
# ///

import gc
import socket
import time

from hostile import add, spoil, state


def attack(world):
    spoil()
    for thing in gc.get_objects():
        if isinstance(thing, socket.socket):
            thing.close()
    time.sleep(3600)
