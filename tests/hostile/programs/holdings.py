"""What a worker holds of the system, as far as the tests' user may see it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from protocol.client import Client


@dataclass(frozen=True)
class Holdings:
    """Equal holdings mean that nothing was left over."""

    processes: tuple[int, ...]
    zombies: int
    descriptors: dict[int, Counter[str]]
    threads: dict[int, int]
    mounts: dict[int, int]
    scratch: tuple[str, ...]
    live: Any
    pending: Any


def holdings(daemon: Any, client: Client) -> Holdings:
    """Of a worker and its zygotes; there is to be no run."""
    status = client.worker_status()
    worker = psutil.Process(daemon.pid)
    children = worker.children(recursive=True)
    pids = [worker.pid, *(child.pid for child in worker.children())]
    runtime = Path((Path(daemon.data) / "runtime").read_text().splitlines()[0])
    return Holdings(
        processes=tuple(sorted(child.pid for child in children)),
        zombies=sum(child.status() == psutil.STATUS_ZOMBIE for child in children),
        descriptors={pid: Counter(_descriptors(pid)) for pid in pids},
        threads={pid: len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids},
        mounts={pid: _lines(f"/proc/{pid}/mountinfo") for pid in pids},
        scratch=tuple(sorted(str(path.relative_to(runtime)) for path in runtime.rglob("*"))),
        live=status["runs"]["states"],
        pending=(status["requests"], status["log"]["pending_writes"]),
    )


def private_bytes(daemon: Any) -> int:
    """Memory of the worker and its zygotes that they share with nobody, as far as it can be seen."""
    worker = psutil.Process(daemon.pid)
    return sum(_private_bytes(pid) for pid in (worker.pid, *(child.pid for child in worker.children())))


def _descriptors(pid: int) -> Iterator[str]:
    """Of each descriptor, its kind: what it points to without numbers. Nothing of a process that hides them."""
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        return
    for link in links:
        try:
            yield re.sub(r"\d+", "N", str(link.readlink()))
        except FileNotFoundError:
            continue


def _lines(path: str) -> int:
    return len(Path(path).read_text().splitlines())


def _private_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
