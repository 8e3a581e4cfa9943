"""Linux calls that Python 3.11 does not offer, through the C library that is already loaded.

Every function raises ``OSError`` with the kernel's error number. Nothing is looked up at call time: a forked
child uses what its zygote resolved.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Callable
from typing import Any, Final

from worker.child.syscalls import SYSCALLS

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_MOVE: Final = 8192
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_SIGKILL: Final = 9

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NUMBERS: Final = SYSCALLS.get(platform.machine(), {})
_CAPABILITY_HEADER: Final = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
_NO_CAPABILITIES: Final = ctypes.create_string_buffer(24)


def _bind(symbol: str, *types: Any) -> Callable[..., int]:
    """A function of the C library that answers -1 for an error, as one that raises."""
    function = _LIBC[symbol]
    function.argtypes = types
    function.restype = ctypes.c_long if symbol == "syscall" else ctypes.c_int

    def call(*arguments: int | bytes | None) -> int:
        result: int = function(*arguments)
        if result == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    return call


_prctl: Final = _bind("prctl", ctypes.c_int, *(ctypes.c_ulong,) * 4)
_mount: Final = _bind(
    "mount", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p
)
_umount2: Final = _bind("umount2", ctypes.c_char_p, ctypes.c_int)
_unshare: Final = _bind("unshare", ctypes.c_int)
_raw: Final = _bind("syscall", *(ctypes.c_long,) * 7)


def syscall(name: str, *arguments: int) -> int:
    """Call the kernel by name with up to six numbers (addresses included); raises ENOSYS for an unknown name."""
    padding = (0,) * (6 - len(arguments))
    return _raw(_NUMBERS.get(name, -1), *arguments, *padding)


def set_parent_death_signal() -> None:
    """Be killed when the thread that forked this process ends; any change of identity clears it again."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def set_dumpable(*, dumpable: bool) -> None:
    """Whether processes of the same user may look into this one, and whether it owns its /proc files."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def set_no_new_privileges() -> None:
    """No exec can add rights any more; the precondition of Landlock and seccomp for an ordinary user."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def drop_capabilities() -> None:
    """Empty the effective, permitted and inheritable sets."""
    syscall("capset", ctypes.addressof(_CAPABILITY_HEADER), ctypes.addressof(_NO_CAPABILITIES))


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on."""
    syscall("close_range", first, 0xFFFF_FFFF, 0)


def unshare(flags: int) -> None:
    """Leave the shared name spaces named by ``CLONE_NEW*`` flags."""
    _unshare(flags)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount, bind or remount; empty ``kind`` and ``data`` are passed as null."""
    _mount(os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, os.fsencode(data) or None)


def enter_root(folder: str) -> None:
    """Make the mount at ``folder`` the root directory and detach the old one; the cwd becomes ``/``."""
    os.chdir(folder)
    here = ctypes.create_string_buffer(b".")
    syscall("pivot_root", ctypes.addressof(here), ctypes.addressof(here))
    _umount2(b".", MNT_DETACH)
    os.chdir("/")


def load_filter(program_address: int) -> None:
    """Put a seccomp program (address of its ``sock_fprog``) over this thread and all it starts."""
    syscall("seccomp", _SECCOMP_SET_MODE_FILTER, 0, program_address)


def write_text(path: str, text: str) -> None:
    """Write a file of the kernel in one call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
