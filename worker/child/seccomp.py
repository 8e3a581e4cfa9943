"""The system call filter of a run process: an allow-list, compiled to a BPF range tree.

A call with a known number that is not allowed answers EPERM, an unknown number ENOSYS (so that the C library
falls back to older calls), another architecture's call ends the process. The program is built once, in the
zygote; only the process's own id is written into it after the fork.

The policy is that of Landlock's gaps: everything a numeric Python program with threads, files, pipes and
event loops calls, and no call that makes processes, sockets, name spaces, keys or other kernel objects.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from worker.child.syscalls import SYSCALLS
from worker.policy import ALLOWED, PRETENDED, UNSUPPORTED

_AUDIT_ARCH: Final[Mapping[str, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_RET_KILL_PROCESS: Final = 0x80000000
_RET_ERRNO: Final = 0x00050000
_RET_ALLOW: Final = 0x7FFF0000
_DENY: Final = _RET_ERRNO | errno.EPERM
_UNKNOWN: Final = _RET_ERRNO | errno.ENOSYS

_LD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JA: Final = 0x05
_JEQ: Final = 0x15
_JGE: Final = 0x35
_AND: Final = 0x54
_RET: Final = 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")
MAX_INSTRUCTIONS: Final = 4096

# struct seccomp_data: nr, arch, instruction pointer, six 64-bit arguments (little endian on both machines)
_NR_OFFSET: Final = 0
_ARCH_OFFSET: Final = 4
_ARGUMENTS_OFFSET: Final = 16

_OWN_PID: Final = 0xFFFF_FFFE
"""Stands in a program for the id that is known only after the fork; no other constant has this value."""

Instruction = tuple[int, int, int, int]


def _argument(index: int, *, high: bool = False) -> Instruction:
    return (_LD, 0, 0, _ARGUMENTS_OFFSET + 8 * index + (4 if high else 0))


@dataclass(frozen=True, slots=True)
class _OneOf:
    """The argument's low 32 bits are one of the values; for parameters the kernel takes as ``int``."""

    argument: int
    values: tuple[int, ...]

    def emit(self, fail: int) -> list[Instruction]:
        """``fail``: instructions between the end of this test and the refusal."""
        count = len(self.values)
        load = [_argument(self.argument)]
        jumps = [
            (_JEQ, count - place - 1, 0 if place < count - 1 else fail, value)
            for place, value in enumerate(self.values)
        ]
        return load + jumps


@dataclass(frozen=True, slots=True)
class _Bits:
    """All bits of ``required`` are set in the low 32 bits, and none of ``forbidden``."""

    argument: int
    required: int
    forbidden: int

    def emit(self, fail: int) -> list[Instruction]:
        """``fail``: instructions between the end of this test and the refusal."""
        return [
            _argument(self.argument),
            (_AND, 0, 0, self.required | self.forbidden),
            (_JEQ, 0, fail, self.required),
        ]


@dataclass(frozen=True, slots=True)
class _Null:
    """The 64-bit argument is a null pointer."""

    argument: int

    def emit(self, fail: int) -> list[Instruction]:
        """``fail``: instructions between the end of this test and the refusal."""
        return [
            _argument(self.argument),
            (_JEQ, 0, fail + 2, 0),
            _argument(self.argument, high=True),
            (_JEQ, 0, fail, 0),
        ]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Judges a call by its arguments: one decision when all tests hold, another when any does not."""

    tests: tuple[_OneOf | _Bits | _Null, ...]
    passed: int = _RET_ALLOW
    failed: int = _DENY


_CLONE_THREAD: Final = 0x00010000
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_CLONE_NEW: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# DUPFD, GETFD, SETFD, GETFL, SETFL, GETLK, SETLK, SETLKW, OFD_GETLK, OFD_SETLK, OFD_SETLKW, DUPFD_CLOEXEC,
# GETPIPE_SZ: no owner, no signal, no lease, no notification, no larger pipe.
_FCNTL: Final = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
_IOCTL: Final = (0x5401, 0x5421, 0x541B, 0x5451, 0x5450)  # TCGETS, FIONBIO, FIONREAD, FIOCLEX, FIONCLEX
# GET_DUMPABLE, SET_NAME, GET_NAME, GET_NO_NEW_PRIVS, SET_VMA
_PRCTL: Final = (3, 15, 16, 39, 0x53564D41)
_AF_UNIX: Final = 1

_BY_ARGUMENT: Final[Mapping[str, _Rule]] = {
    "clone": _Rule((_Bits(0, _CLONE_THREAD, _CLONE_NEW),)),
    "fcntl": _Rule((_OneOf(1, _FCNTL),)),
    "ioctl": _Rule((_OneOf(1, _IOCTL),)),
    "kill": _Rule((_OneOf(0, (_OWN_PID,)),)),
    "prctl": _Rule((_OneOf(0, _PRCTL),)),
    "prlimit64": _Rule((_OneOf(0, (0, _OWN_PID)), _Null(2))),
    # Without an address: a datagram pair could otherwise write to any socket whose path it can name.
    "sendto": _Rule((_Null(4),)),
    "socketpair": _Rule((_OneOf(0, (_AF_UNIX,)),)),
    "tgkill": _Rule((_OneOf(0, (_OWN_PID,)),)),
    # Copied times are pretended. "Now" (a null pointer) is refused, because Path.touch takes success for proof
    # that the file exists, and makes it after a refusal.
    "utimensat": _Rule((_Null(2),), passed=_DENY, failed=_RET_ERRNO),
}

_Leaf = int | _Rule


def _decisions(numbers: Mapping[str, int]) -> dict[int, _Leaf]:
    """What becomes of each known number; a name that this architecture lacks is passed over."""
    decided: dict[int, _Leaf] = dict.fromkeys(numbers.values(), _DENY)
    groups: list[tuple[Iterable[str], _Leaf]] = [
        (ALLOWED.split(), _RET_ALLOW),
        (PRETENDED.split(), _RET_ERRNO),
        (UNSUPPORTED.split(), _RET_ERRNO | errno.ENOTSUP),
        (("clone3",), _UNKNOWN),
        *(((name,), rule) for name, rule in _BY_ARGUMENT.items()),
    ]
    for names, leaf in groups:
        decided.update((numbers[name], leaf) for name in names if name in numbers)
    return decided


def policy_names() -> frozenset[str]:
    """Every system call that the policy mentions by name."""
    text = f"{ALLOWED} {PRETENDED} {UNSUPPORTED}"
    return frozenset(text.split()) | _BY_ARGUMENT.keys() | {"clone3"}


def _ranges(decided: Mapping[int, _Leaf]) -> list[tuple[int, _Leaf]]:
    """First number of each unbroken stretch with one decision; numbers nobody knows lie between and behind."""
    ranges: list[tuple[int, _Leaf]] = []
    for number in range(max(decided) + 2):
        leaf = decided.get(number, _UNKNOWN)
        if not ranges or ranges[-1][1] != leaf:
            ranges.append((number, leaf))
    return ranges


def _emit_leaf(leaf: _Leaf) -> list[Instruction]:
    if isinstance(leaf, int):
        return [(_RET, 0, 0, leaf)]
    code: list[Instruction] = [(_RET, 0, 0, leaf.passed), (_RET, 0, 0, leaf.failed)]
    for test in reversed(leaf.tests):
        code = test.emit(len(code) - 1) + code
    return code


def _emit_tree(ranges: list[tuple[int, _Leaf]]) -> list[Instruction]:
    """Binary search over the ranges; the accumulator holds the number until a leaf is reached."""
    if len(ranges) == 1:
        return _emit_leaf(ranges[0][1])
    middle = len(ranges) // 2
    lower, upper = _emit_tree(ranges[:middle]), _emit_tree(ranges[middle:])
    boundary = ranges[middle][0]
    if len(lower) <= 0xFF:
        return [(_JGE, len(lower), 0, boundary), *lower, *upper]
    return [(_JGE, 0, 1, boundary), (_JA, 0, 0, len(lower)), *lower, *upper]


def _assemble(machine: str) -> list[Instruction]:
    return [
        (_LD, 0, 0, _ARCH_OFFSET),
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RET, 0, 0, _RET_KILL_PROCESS),
        (_LD, 0, 0, _NR_OFFSET),
        *_emit_tree(_ranges(_decisions(SYSCALLS[machine]))),
    ]


class Program:
    """A compiled filter, ready to be loaded by a forked child.

    Raises:
        OSError: ENOSYS for a machine whose system calls this project does not know.
    """

    def __init__(self, machine: str = "") -> None:
        machine = machine or platform.machine()
        if machine not in SYSCALLS:
            raise OSError(errno.ENOSYS, f"no system call table for {machine}")
        instructions = _assemble(machine)
        self.length = len(instructions)
        self._code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*one) for one in instructions))
        self._pid_offsets = tuple(
            index * _INSTRUCTION.size + 4 for index, one in enumerate(instructions) if one[3] == _OWN_PID
        )
        # struct sock_fprog: unsigned short, padding, pointer
        self._descriptor = ctypes.create_string_buffer(
            struct.pack("@HP", self.length, ctypes.addressof(self._code))
        )

    def code(self, pid: int) -> bytes:
        """The instructions as the kernel reads them, for the process ``pid``."""
        self._write_pid(pid)
        return self._code.raw[: self.length * _INSTRUCTION.size]

    def address(self, pid: int) -> int:
        """Address of the ``sock_fprog`` for the process ``pid``; valid while this object lives."""
        self._write_pid(pid)
        return ctypes.addressof(self._descriptor)

    def _write_pid(self, pid: int) -> None:
        for offset in self._pid_offsets:
            struct.pack_into("=I", self._code, offset, pid)
