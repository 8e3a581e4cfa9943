"""Memory of processes as the kernel tells it, and of the host."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.process.memory import estimate, estimated_bytes, exact_bytes, granted_bytes, private_bytes

MIB = 1 << 20
GROWN = 32 * MIB
UNLIMITED_V1 = "9223372036854771712"


@pytest.fixture
def child() -> Iterator[Callable[[], int]]:
    """``child()``: a fork of this process that has written ``GROWN`` bytes and waits."""
    pids: list[int] = []
    wake, release = os.pipe()

    def make() -> int:
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(release)
            ballast = bytearray(GROWN)
            ballast[::4096] = b"x" * len(ballast[::4096])
            os.write(tell, b"grown")
            os.read(wake, 1)
            os._exit(0)
        pids.append(pid)
        os.close(tell)
        assert os.read(told, 5) == b"grown"
        os.close(told)
        return pid

    yield make
    os.close(release)
    os.close(wake)
    for pid in pids:
        os.waitpid(pid, 0)


def test_what_a_process_shares_with_its_parent_is_not_its_own(child: Callable[[], int]) -> None:
    own = private_bytes(child())
    assert own is not None
    assert GROWN <= own < GROWN + 16 * MIB


def test_the_estimate_is_not_below_what_is_exact_and_little_above(child: Callable[[], int]) -> None:
    before, faults = anonymous_bytes(), own_faults()
    pid = child()
    exact, estimated = exact_bytes(pid), estimated_bytes(pid)
    # A zygote rests after a fork, as the estimate takes for granted. This process may grow meanwhile, and what
    # it writes it takes a copy of, with a fault per page: the page it shared is then the child's alone.
    grown = max(0, anonymous_bytes() - before)
    unshared = (own_faults() - faults) * resource.getpagesize()
    assert exact is not None
    assert estimated is not None
    assert exact <= estimated + grown + unshared
    assert estimated < 3 * exact


def anonymous_bytes() -> int:
    """Of this process, as the estimate sees it."""
    _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(resident) - int(shared)) * resource.getpagesize()


def own_faults() -> int:
    """Pages that this process has touched for the first time, or copied, in its life."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_a_process_that_has_ended_has_no_memory(child: Callable[[], int]) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert private_bytes(pid) is None
    assert estimated_bytes(pid) is None


@pytest.mark.parametrize(
    ("anonymous", "parents", "faulted", "expected"),
    (
        (50, 50, 0, 0),  # just forked
        (50, 50, 7, 7),  # copied some of what it shares
        (60, 50, 12, 22),  # grew
        (60, 50, 900, 60),  # faulted often: not more than it has
        (40, 50, 3, 3),  # gave back what it had shared
        (10, 50, 900, 10),
    ),
)
def test_the_estimate_is_growth_and_copies(anonymous: int, parents: int, faulted: int, expected: int) -> None:
    assert estimate(anonymous, parents, faulted) == expected


class Host:
    """A host as its files tell it."""

    def __init__(self, folder: Path, membership: str) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "meminfo").write_text("MemTotal:       8192 kB\nMemFree:        4096 kB\n")
        (self.proc / "self" / "cgroup").write_text(membership)

    def limit(self, file: str, text: str) -> None:
        path = self.cgroups / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    @property
    def granted(self) -> int:
        return granted_bytes(self.proc, self.cgroups)


def test_without_control_groups_the_host_is_granted(tmp_path: Path) -> None:
    host = Host(tmp_path, "")
    assert host.granted == 8 * MIB
    (host.proc / "self" / "cgroup").unlink()
    assert host.granted == 8 * MIB


def test_a_limit_of_the_group_or_of_one_around_it_counts(tmp_path: Path) -> None:
    host = Host(tmp_path, "0::/system.slice/worker.service\n")
    host.limit("system.slice/worker.service/memory.max", "max")
    assert host.granted == 8 * MIB
    host.limit("system.slice/memory.max", str(4 * MIB))
    assert host.granted == 4 * MIB
    host.limit("system.slice/worker.service/memory.max", str(2 * MIB))
    assert host.granted == 2 * MIB


def test_a_container_that_sees_its_own_group_as_the_root_is_limited_by_it(tmp_path: Path) -> None:
    host = Host(tmp_path, "5:cpu,cpuacct:/a\n4:memory:/docker/0123\n")
    host.limit("memory/memory.limit_in_bytes", UNLIMITED_V1)
    assert host.granted == 8 * MIB
    host.limit("memory/memory.limit_in_bytes", str(3 * MIB))
    assert host.granted == 3 * MIB
