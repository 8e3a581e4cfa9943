"""What attacks share; a copy lies in every model folder. ``total`` is what a run must keep."""

import ctypes
import errno
import os
import platform

from syscalls import SYSCALLS

total = 0
_NUMBERS = SYSCALLS[platform.machine()]
_LIBC = ctypes.CDLL(None, use_errno=True)
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def add(n):
    global total
    total += n
    return total


def state():
    return total


def spoil():
    """What every attack changes first: it is there afterwards if, and only if, the action was acknowledged."""
    global total
    total += 1000


def number(name):
    return _NUMBERS[name]


def call(name, *arguments):
    """A system call by name, or by number; raises OSError. Addresses may be given as buffers."""
    passed = [one if isinstance(one, int) else ctypes.addressof(one) for one in arguments]
    passed = [ctypes.c_long(one) for one in passed]
    result = _LIBC.syscall(ctypes.c_long(_NUMBERS[name] if isinstance(name, str) else name), *passed)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def got_through(attempts):
    """Names of those attempts that did not raise."""
    through = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception:
            continue
        through.append(name)
    return through


def carried_out(calls):
    """Names of those system calls that the kernel began to carry out, even if only to find them senseless.

    ``calls``: name, or name and a word more, to arguments.
    """
    through = []
    for name, arguments in calls.items():
        try:
            call(name.split()[0], *arguments)
        except KeyError:
            continue
        except OSError as error:
            if error.errno in _REFUSALS:
                continue
        through.append(name)
    return through
