"""How much memory a process holds for itself, and how much the host grants this worker.

A run process shares most of its pages with its zygote, so its resident size says little: what a run costs is
what it has written since it was forked.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
UNLIMITED_BYTES: Final = 1 << 60
"""Control groups of version 1 say a number as large as this where nothing is limited."""

_PARENT, _MINOR_FAULTS = 1, 7
"""Fields of ``/proc/PID/stat`` behind the name in parentheses."""


def private_bytes(pid: int) -> int | None:
    """Memory that ends with the process: pages it has written and shares with nobody. None where it has ended.

    Exact where the kernel lets this worker look (root with CAP_SYS_PTRACE): some 150 µs, and 3 µs more per
    megabyte. Elsewhere estimated, some megabytes too high rather than too low.
    """
    try:
        return exact_bytes(pid)
    except PermissionError:
        return estimated_bytes(pid)


def exact_bytes(pid: int) -> int | None:
    """``private_bytes`` as the kernel adds it up.

    Raises:
        PermissionError: the process hides its memory, as run processes do, and this one may not look.
    """
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty:")), None)


def estimated_bytes(pid: int) -> int | None:
    """``private_bytes`` of a forked process whose parent lives, from what everybody may read; some 15 µs."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        own = _anonymous_bytes(pid)
        parents = _anonymous_bytes(int(fields[_PARENT]))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return estimate(own, parents, int(fields[_MINOR_FAULTS]) * PAGE_BYTES)


def estimate(anonymous_bytes: int, parents_bytes: int, faulted_bytes: int) -> int:
    """Private memory of a forked process from what everybody may read.

    It is what its anonymous memory has grown by since the fork (``parents_bytes``: its parent's), and what it
    has copied of its parent's, for which it faulted once per page; never more than it has at all. Too low by
    what its parent has written since, as a page that the parent copied is the child's alone: a zygote rests.
    """
    grown = max(0, anonymous_bytes - parents_bytes)
    return min(anonymous_bytes, grown + min(parents_bytes, faulted_bytes))


def _anonymous_bytes(pid: int) -> int:
    _, resident, shared, *_ = (PROC / str(pid) / "statm").read_text().split()
    return (int(resident) - int(shared)) * PAGE_BYTES


def granted_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """What this worker and its processes may use at most: the host's memory, or less by a control group."""
    (total,) = (
        int(line.split()[1]) * 1024
        for line in (proc / "meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    )
    return min([total, *_group_limits(proc, cgroups)])


def _group_limits(proc: Path, cgroups: Path) -> Iterator[int]:
    """Limits of the control groups that this process is in, and of those around them."""
    try:
        memberships = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers == "":
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):
            limit = _limit_in(root / folder / name)
            if limit is not None:
                yield limit


def _limit_in(file: Path) -> int | None:
    """The limit that a file tells; None where there is none, or no such file: a container sees its own part."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and int(text) < UNLIMITED_BYTES else None
