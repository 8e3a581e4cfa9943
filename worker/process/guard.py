"""``python -I -S guard.py PARENT COMMAND …``: run a command that ends, with all its processes, when PARENT ends.

It must be started as the leader of a process group of its own; whoever kills the group ends everything too. The
exit status is 0, or 1 where the command's was another. Each of its processes has a bounded address space, as what they
compile to bytecode may be hostile, and gives way to runs on the processors.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
ADDRESS_SPACE_BYTES = 8 << 30
NICENESS = 10


def end_all(_number: int, _frame: FrameType | None) -> None:
    """Kill the whole group, this process included."""
    os.killpg(0, signal.SIGKILL)


def main(parent: int, command: list[str]) -> int:
    """Run the command to its end."""
    os.umask(0o022)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or most > ADDRESS_SPACE_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    signal.signal(signal.SIGTERM, end_all)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    return 1 if subprocess.call(command, stdin=subprocess.DEVNULL) else 0  # noqa: S603 - no shell; the worker's own list


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
