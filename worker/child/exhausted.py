"""Which limit of its run an exception tells of, where the kernel refused the model more of something."""

import errno
from os import statvfs
from resource import RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC, getrlimit
from typing import Any, Final

from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

_NUMBER: Final = vars(OSError)["errno"].__get__
_ARGUMENTS: Final = vars(BaseException)["args"].__get__
_NO_THREAD: Final = ("can't start new thread",)
_LIMITED: Final = {errno.EMFILE: ("open_files", RLIMIT_NOFILE), errno.EFBIG: ("file_bytes", RLIMIT_FSIZE)}


def limit_met(error: BaseException) -> dict[str, Any]:
    """``limit`` (its name in the settings) and ``allowed``, for a scratch also ``used``; nothing for other exceptions.

    The exception is the model's, so it may be raised for no such reason: this is a hint for people.
    """
    kind = type(error)
    # What stands in an exception may be an object of the model's; only plain values are compared.
    if kind is RuntimeError and [*map(type, _ARGUMENTS(error))] == [str] and _ARGUMENTS(error) == _NO_THREAD:
        return {"limit": "threads", "allowed": getrlimit(RLIMIT_NPROC)[0]}
    if not issubclass(kind, OSError):
        return {}
    number = _NUMBER(error)
    if type(number) is not int:
        return {}
    if number == errno.ENOSPC:
        return _scratch()
    if number in _LIMITED:
        name, resource = _LIMITED[number]
        return {"limit": name, "allowed": getrlimit(resource)[0]}
    return {}


def _scratch() -> dict[str, Any]:
    """What of the working directory's file system, the scratch, is used up."""
    try:
        held = statvfs(".")
    except OSError:
        return {}
    if held.f_ffree == 0:
        return {"limit": "scratch_inodes", "allowed": held.f_files, "used": held.f_files}
    allowed = held.f_blocks * held.f_frsize
    return {"limit": "scratch_bytes", "allowed": allowed, "used": allowed - held.f_bfree * held.f_frsize}
