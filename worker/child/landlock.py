"""Landlock: which files a run process may open; everything that no rule names is refused.

The rules hold for this thread and all it starts, and cannot be taken back. TCP, abstract sockets and signals
to processes outside are refused where the kernel's version of Landlock knows them; what it does not know at
all (metadata, datagrams, path sockets) is the system call filter's half.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from worker.child import kernel

MINIMUM_ABI: Final = 3
"""Below 3 (Linux 6.2) foreign files could be truncated."""

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_TRUNCATE: Final = 1 << 14
_ALL_FILE_RIGHTS: Final = (1 << 15) - 1  # EXECUTE to TRUNCATE, known since ABI 3
_IOCTL_DEVICE: Final = 1 << 15
_ALL_TCP_RIGHTS: Final = 3  # BIND, CONNECT
_ALL_SCOPES: Final = 3  # abstract sockets, signals

READ: Final = _READ_FILE | _READ_DIR
SCRATCH: Final = READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
"""Files and directories, but nothing to execute, link, listen on or move between directories."""

WRITE_DEVICE: Final = _WRITE_FILE

_FOR_PLAIN_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE

_VERSION_QUERY: Final = 1
_RULE_PATH_BENEATH: Final = 1
_RULE: Final = struct.Struct("=Qi")
_ATTRIBUTES: Final = struct.Struct("=QQQ")  # file rights, network rights (ABI 4), scopes (ABI 6)


def abi() -> int:
    """The version of Landlock that the kernel enforces.

    Raises:
        OSError: ENOSYS not compiled in, EOPNOTSUPP switched off at boot.
    """
    return kernel.syscall("landlock_create_ruleset", 0, 0, _VERSION_QUERY)


class Landlock:
    """The parts of a rule set that all children of a zygote share.

    Raises:
        OSError: Landlock is absent or older than ``MINIMUM_ABI``.
    """

    def __init__(self) -> None:
        version = abi()
        if version < MINIMUM_ABI:
            raise OSError(errno.EOPNOTSUPP, f"Landlock ABI {version}, needed {MINIMUM_ABI}")
        handled = _ALL_FILE_RIGHTS | (_IOCTL_DEVICE if version >= 5 else 0)
        network = _ALL_TCP_RIGHTS if version >= 4 else 0
        scopes = _ALL_SCOPES if version >= 6 else 0
        self._size = 8 if version < 4 else 16 if version < 6 else 24
        self._attributes = ctypes.create_string_buffer(_ATTRIBUTES.pack(handled, network, scopes))
        self._rule = ctypes.create_string_buffer(_RULE.size)

    def restrict(self, rules: Iterable[tuple[int, int]]) -> None:
        """Restrict this thread to ``rules``: pairs of an open path descriptor and the rights beneath it.

        The descriptors stay open. ``no_new_privs`` must be set before.
        """
        ruleset = kernel.syscall("landlock_create_ruleset", ctypes.addressof(self._attributes), self._size, 0)
        for descriptor, rights in rules:
            _RULE.pack_into(self._rule, 0, rights, descriptor)
            kernel.syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, ctypes.addressof(self._rule), 0)
        kernel.syscall("landlock_restrict_self", ruleset, 0)
        os.close(ruleset)


def open_rule(path: str, rights: int) -> tuple[int, int]:
    """Open ``path`` for a rule; of the rights, a plain file gets those that exist for files.

    Raises:
        OSError: the path does not exist or cannot be reached.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    return descriptor, rights if is_folder else rights & _FOR_PLAIN_FILES
