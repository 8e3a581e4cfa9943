# /// attack
# lives = true
# rows = [37]
# ///

import os

from hostile import add, carried_out, got_through, spoil, state


def attack(world):
    spoil()
    pid = world["pids"]["bystander"]
    return got_through({
        "nice": lambda: os.nice(-5),
        "nicer": lambda: os.nice(5),
        "of another": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        "batch of another": lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
        "affinity of another": lambda: os.sched_setaffinity(pid, {0}),
        "affinity": lambda: os.sched_setaffinity(0, {0}),
    }) + carried_out({"ioprio_set": (1, 0, 0), "sched_setattr": (0, 0, 0), "setpriority": (0, 0, 0)})
