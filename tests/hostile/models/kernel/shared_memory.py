# /// attack
# lives = true
# rows = [38]
# ///

from multiprocessing import shared_memory

from hostile import add, carried_out, got_through, spoil, state


def attack(world):
    spoil()
    calls = {"shmget": (0, 4096, 0o1600), "semget": (0, 1, 0o1600), "msgget": (0, 0o1600), "mq_open": (0, 0o102, 0o600, 0)}
    return carried_out(calls) + got_through({"posix": lambda: shared_memory.SharedMemory(create=True, size=4096)})
