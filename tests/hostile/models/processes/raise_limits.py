# /// attack
# lives = true
# rows = [37]
# ///

import os
import resource

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    kinds = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    attempts = {name: lambda name=name: resource.setrlimit(getattr(resource, name), everything) for name in kinds}
    for name, pid in world["pids"].items():
        attempts[f"of {name}"] = lambda pid=pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))
        attempts[f"look at {name}"] = lambda pid=pid: resource.prlimit(pid, resource.RLIMIT_NOFILE)
    return got_through(attempts)
