"""What one run process may use, and the pool of user ids that runs are given."""

import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

from worker.channel import MAX_DEPTH, USUAL_VALUES

_MIB: Final = 1024 * 1024

FIRST_UID: Final = 1_900_000_000
"""In the range that systemd's table of user ids leaves unassigned on every system."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run process; all positive. A limit of the host that is already lower stays.

    ``memory_bytes``: address space, not resident memory (numpy and pandas alone map 160 MB); beyond it the
    model sees MemoryError. ``cpu_seconds``: total CPU time of the process, not of one action; then SIGXCPU.
    ``action_cpu_seconds``, ``action_wall_seconds``: CPU time, and time, of one action; the supervisor ends what
    takes more, and loading and handlers that take more time. ``threads``: enforced
    where the run has a user id or an ordinary user's name space of its own. ``max_result_bytes``: one encoded
    result. ``max_result_depth``: its nesting, at most MAX_DEPTH. ``max_result_values``: the items of all its lists and
    maps, and some for each of these; at most MAX_VALUES. ``record_bytes``: the last value of each
    name that was recorded, together. ``output_bytes``: printed output kept of one
    request. ``message_rate``: messages that the process sends by itself in a second (calls of external functions),
    and as many lines of output.
    ``file_bytes``: one file. ``scratch_bytes``, ``scratch_inodes``: the run's own file system, held in
    memory. ``stack_bytes``: of the main thread.
    """

    memory_bytes: int = 1024 * _MIB
    cpu_seconds: int = 3600
    action_cpu_seconds: float = 60.0
    action_wall_seconds: float = 3600.0
    open_files: int = 64
    threads: int = 32
    file_bytes: int = 64 * _MIB
    scratch_bytes: int = 8 * _MIB
    scratch_inodes: int = 256
    stack_bytes: int = 8 * _MIB
    pending_signals: int = 64
    max_result_bytes: int = 8 * _MIB
    max_result_depth: int = MAX_DEPTH
    max_result_values: int = USUAL_VALUES
    record_bytes: int = 4 * _MIB
    output_bytes: int = 64 * 1024
    message_rate: int = 1000

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"limit {name} must be above 0, not {value}")

    def lowered(self, given: Mapping[str, float]) -> Self:
        """These limits, but of each that is ``given`` the lower value of both."""
        return replace(self, **{name: min(value, getattr(self, name)) for name, value in given.items()})


class UidPool:
    """User ids for runs on a host where the worker is root; each is given to one run process at a time.

    The id that has been free longest is leased next, so that a process that is still dying never shares it. The
    first one leased is drawn: workers of one host, which know nothing of each other, hardly ever meet.
    """

    def __init__(self, first: int = FIRST_UID, count: int = 100_000) -> None:
        self._free = deque(range(first, first + count))
        self._free.rotate(secrets.randbelow(count))
        self._leased: set[int] = set()

    def lease(self) -> int | None:
        """An id that no other run has, or None when all are leased."""
        if not self._free:
            return None
        uid = self._free.popleft()
        self._leased.add(uid)
        return uid

    def release(self, uid: int) -> None:
        """Give an id back, once its process has exited.

        Raises:
            KeyError: it is not leased.
        """
        self._leased.remove(uid)
        self._free.append(uid)
