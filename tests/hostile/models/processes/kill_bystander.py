# /// attack
# lives = true
# rows = [28]
# ///

import os
import signal

from hostile import add, call, got_through, spoil, state


def attack(world):
    spoil()
    pid = world["pids"]["bystander"]
    return got_through({
        "kill": lambda: os.kill(pid, signal.SIGKILL),
        "stop": lambda: os.kill(pid, signal.SIGSTOP),
        "tkill": lambda: call("tkill", pid, signal.SIGKILL),
        "tgkill": lambda: call("tgkill", pid, pid, signal.SIGKILL),
        "queue": lambda: call("rt_sigqueueinfo", pid, signal.SIGKILL, 0),
    })
