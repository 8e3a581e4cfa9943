# /// attack
# lives = true
# rows = [48]
# result = 'true'
# ///

import fcntl
import os

from hostile import add, got_through, spoil, state

kept = []


def attack(world):
    """Memory of the kernel by filled pipes, made as large as they may be."""
    spoil()
    filled = 0
    try:
        while len(kept) < 5000:
            read, write = os.pipe()
            kept.extend((read, write))
            got_through({"larger": lambda: fcntl.fcntl(write, 1031, 1 << 20)})
            os.set_blocking(write, False)
            while True:
                try:
                    filled += os.write(write, bytes(65536))
                except BlockingIOError:
                    break
    except OSError:
        pass
    return 0 < filled <= 4 << 20
