# /// attack
# lives = true
# rows = [31]
# ///

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    attempts = {
        method: lambda method=method: multiprocessing.get_context(method).Process(target=print).start()
        for method in ("fork", "spawn", "forkserver")
    }
    return got_through(attempts | {"pool": lambda: ProcessPoolExecutor(1).submit(print).result(2)})
