# /// attack
# rows = []
# lives = true
# ///

import os

from hostile import add, got_through, spoil, state


def attack(world):
    spoil()
    read = ("/sys/kernel/uevent_seqnum", "/dev/mem", "/dev/kmsg", "/dev/random", "/dev/fuse", "/dev/ptmx", "/dev/tty")
    written = ("/sys/devices/system/cpu/cpu0/online", "/dev/zero", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern")
    attempts = {path: lambda path=path: os.open(path, os.O_RDONLY) for path in read}
    attempts |= {path: lambda path=path: os.open(path, os.O_WRONLY) for path in written}
    return got_through(attempts | {"cgroup": lambda: os.listdir("/sys/fs/cgroup")})
