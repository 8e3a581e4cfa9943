"""The filter, judged instruction by instruction by a small BPF machine, and its tables by libseccomp."""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.child.seccomp import Program, policy_names
from worker.child.syscalls import SYSCALLS

MACHINES = tuple(SYSCALLS)
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4242

ALLOW = 0x7FFF0000
KILL = 0x80000000
PRETEND = 0x00050000
EPERM = PRETEND | errno.EPERM
ENOSYS = PRETEND | errno.ENOSYS
ENOTSUP = PRETEND | errno.ENOTSUP

CODE = {machine: Program(machine).code(PID) for machine in MACHINES}


def execute(code: bytes, data: bytes) -> int:
    """Run a filter over one ``seccomp_data``, as the kernel's interpreter does."""
    instructions = list(struct.iter_unpack("=HBBI", code))
    accumulator, counter = 0, 0
    while True:
        operation, when_true, when_false, k = instructions[counter]
        counter += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x05:
                counter += k
            case 0x15:
                counter += when_true if accumulator == k else when_false
            case 0x35:
                counter += when_true if accumulator >= k else when_false
            case 0x54:
                accumulator &= k
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"instruction {operation:#x}")


def judge(machine: str, call: str | int, *arguments: int, arch: int | None = None) -> int:
    number = call if isinstance(call, int) else SYSCALLS[machine][call]
    padded = [value & 0xFFFF_FFFF_FFFF_FFFF for value in (*arguments, *(0,) * (6 - len(arguments)))]
    data = struct.pack("=IIQ6Q", number, ARCH[machine] if arch is None else arch, 0, *padded)
    return execute(CODE[machine], data)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_name_in_the_policy_exists_on_some_machine() -> None:
    known = {name for table in SYSCALLS.values() for name in table}
    assert policy_names() <= known


def test_another_architecture_is_ended(machine: str) -> None:
    assert judge(machine, "read", arch=0x40000003) == KILL


@pytest.mark.parametrize("name", ("read", "openat", "mmap", "futex", "exit_group", "getrandom", "recvfrom"))
def test_ordinary_calls_are_allowed(machine: str, name: str) -> None:
    assert judge(machine, name) == ALLOW


@pytest.mark.parametrize(
    "name",
    (
        "socket", "connect", "bind", "sendmsg", "execve", "execveat", "ptrace", "process_vm_readv", "pidfd_open",
        "unshare", "setns", "mount", "pivot_root", "bpf", "perf_event_open", "io_uring_setup", "userfaultfd",
        "keyctl", "memfd_create", "shmget", "mq_open", "personality", "setuid", "capset", "symlinkat", "linkat",
        "seccomp", "landlock_create_ruleset", "open_by_handle_at", "tkill", "rt_sigqueueinfo", "clock_settime",
    ),
)  # fmt: skip
def test_calls_that_reach_outside_are_refused(machine: str, name: str) -> None:
    assert judge(machine, name) == EPERM


@pytest.mark.parametrize("name", ("fork", "vfork"))
def test_old_forms_of_fork_are_refused(name: str) -> None:
    assert judge("x86_64", name) == EPERM


@pytest.mark.parametrize("number", (600, 0x4000_0000, 0x4000_003B, 0xFFFF_FFFF))
def test_unknown_numbers_do_not_exist(machine: str, number: int) -> None:
    assert judge(machine, number) == ENOSYS


def test_clone3_does_not_exist_so_that_threads_use_clone(machine: str) -> None:
    assert judge(machine, "clone3") == ENOSYS


def test_metadata_changes_are_pretended_and_attributes_unsupported(machine: str) -> None:
    assert judge(machine, "fchmodat") == PRETEND
    assert judge(machine, "fchmodat2") == PRETEND
    assert judge(machine, "fsetxattr") == ENOTSUP
    assert judge(machine, "setxattrat") == ENOTSUP


def test_copied_times_are_pretended_and_touching_is_refused(machine: str) -> None:
    assert judge(machine, "utimensat", 0, 1, 0x7FFF_0000_0000) == PRETEND
    assert judge(machine, "utimensat", 0, 1, 0) == EPERM


def test_clone_makes_threads_only(machine: str) -> None:
    thread = 0x3D0F00
    assert judge(machine, "clone", thread) == ALLOW
    assert judge(machine, "clone", 17) == EPERM
    for namespace in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert judge(machine, "clone", thread | namespace) == EPERM


@pytest.mark.parametrize("name", ("kill", "tgkill"))
def test_signals_reach_the_process_itself_only(machine: str, name: str) -> None:
    assert judge(machine, name, PID) == ALLOW
    for other in (0, 1, -1, -PID, PID + 1):
        assert judge(machine, name, other) == EPERM


def test_prlimit_reads_its_own_limits_only(machine: str) -> None:
    assert judge(machine, "prlimit64", 0, 7, 0, 1) == ALLOW
    assert judge(machine, "prlimit64", PID, 7, 0, 1) == ALLOW
    assert judge(machine, "prlimit64", 1, 7, 0, 1) == EPERM
    assert judge(machine, "prlimit64", 0, 7, 0x1000, 0) == EPERM
    assert judge(machine, "prlimit64", 0, 7, 0x1_0000_0000, 0) == EPERM


def test_datagrams_carry_no_address(machine: str) -> None:
    assert judge(machine, "sendto", 5, 1, 1, 0, 0) == ALLOW
    assert judge(machine, "sendto", 5, 1, 1, 0, 0x1_0000_0000) == EPERM
    assert judge(machine, "sendto", 5, 1, 1, 0, 0x1000) == EPERM


def test_socket_pairs_are_local(machine: str) -> None:
    assert judge(machine, "socketpair", 1) == ALLOW
    assert judge(machine, "socketpair", 2) == EPERM


@pytest.mark.parametrize(
    ("command", "verdict"), ((0x5401, ALLOW), (0x5421, ALLOW), (0x5412, EPERM), (0x5452, EPERM))
)
def test_device_commands_are_chosen(machine: str, command: int, verdict: int) -> None:
    assert judge(machine, "ioctl", 0, command) == verdict


@pytest.mark.parametrize(
    ("command", "verdict"), ((1, ALLOW), (1030, ALLOW), (8, EPERM), (10, EPERM), (1024, EPERM))
)
def test_descriptor_commands_are_chosen(machine: str, command: int, verdict: int) -> None:
    assert judge(machine, "fcntl", 0, command) == verdict


@pytest.mark.parametrize(("option", "verdict"), ((15, ALLOW), (1, EPERM), (4, EPERM), (22, EPERM)))
def test_process_options_are_chosen(machine: str, option: int, verdict: int) -> None:
    assert judge(machine, "prctl", option) == verdict


@given(number=st.integers(0, 2**32 - 1), arguments=st.lists(st.integers(0, 2**64 - 1), max_size=6))
def test_every_call_gets_a_verdict_and_unknown_ones_none_but_enosys(
    number: int, arguments: list[int]
) -> None:
    for machine in MACHINES:
        verdict = judge(machine, number, *arguments)
        known = number in SYSCALLS[machine].values()
        assert verdict in (ALLOW, PRETEND, EPERM, ENOSYS, ENOTSUP)
        assert known or verdict == ENOSYS


def test_what_the_policy_does_not_name_is_refused_with_any_arguments(machine: str) -> None:
    for name in SYSCALLS[machine].keys() - policy_names():
        assert judge(machine, name) == EPERM, name
        assert judge(machine, name, *(PID,) * 6) == EPERM, name


def test_the_own_id_is_written_anew_for_every_process(machine: str) -> None:
    program = Program(machine)
    assert program.code(PID) != program.code(PID + 1)
    assert program.code(PID) == CODE[machine]


def test_an_unknown_machine_is_named() -> None:
    with pytest.raises(OSError, match="riscv64") as caught:
        Program("riscv64")
    assert caught.value.errno == errno.ENOSYS


def libseccomp() -> Callable[[int, bytes], int] | None:
    found = [*Path("/usr/lib").glob("*/libseccomp.so.2"), *Path("/usr/lib64").glob("libseccomp.so.2")]
    if not found:
        return None
    resolve: Callable[[int, bytes], int] = ctypes.CDLL(os.fspath(found[0])).seccomp_syscall_resolve_name_arch
    return resolve


LIBSECCOMP = libseccomp()


@pytest.mark.skipif(LIBSECCOMP is None, reason="libseccomp.so.2 is not installed; CI installs it")
def test_the_numbers_are_those_of_libseccomp(machine: str) -> None:
    assert LIBSECCOMP is not None
    unknown = -1
    resolved = {
        name: LIBSECCOMP(ctypes.c_uint32(ARCH[machine]).value, name.encode()) for name in SYSCALLS[machine]
    }
    compared = {name: number for name, number in resolved.items() if number != unknown}
    assert len(compared) > 300
    assert compared == {name: SYSCALLS[machine][name] for name in compared}
