# /// attack
# lives = true
# rows = [34]
# ///

import os

from hostile import add, carried_out, spoil, state


def attack(world):
    spoil()
    calls = {}
    for name, pid in {**world["pids"], "parent": os.getppid()}.items():
        calls[f"ptrace attach {name}"] = (16, pid, 0, 0)
        calls[f"ptrace seize {name}"] = (0x4206, pid, 0, 0)
        calls[f"process_vm_readv {name}"] = (pid, 0, 0, 0, 0, 0)
        calls[f"process_vm_writev {name}"] = (pid, 0, 0, 0, 0, 0)
        calls[f"process_madvise {name}"] = (pid, 0, 0, 0, 0, 0)
        calls[f"kcmp {name}"] = (pid, os.getpid(), 1, 0, 0)
    return carried_out({**calls, "ptrace traceme": (0, 0, 0, 0)})
