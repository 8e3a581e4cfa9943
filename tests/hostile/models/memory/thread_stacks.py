# /// attack
# rows = []
# lives = true
# result = 'true'
# ///

import threading

from hostile import add, spoil, state

forever = threading.Event()


def attack(world):
    """Address space by the stacks of threads."""
    spoil()
    threading.stack_size(256 << 20)
    started = 0
    try:
        while started < 100:
            threading.Thread(target=forever.wait, daemon=True).start()
            started += 1
    except (RuntimeError, MemoryError):
        pass
    threading.stack_size(0)
    return started < 8
