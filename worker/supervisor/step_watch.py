"""Bounds on one step of a run process: how long it may take, and how much processor time."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

from worker.errors import WorkerError
from worker.process.limits import Limits
from worker.runs.stimuli import Step
from worker.supervisor import mishaps
from worker.waiting import Alarm

CORES: Final = os.cpu_count() or 1
"""No process uses processor time faster than that."""
SOONEST_SECONDS: Final = 0.02
"""Between two looks at a process that is about to reach its limit."""


class StepWatch:
    """Watches a process from ``begin`` to ``end``; ``lose`` is told, at most once a step, of a bound exceeded.

    Processor time is read from the kernel's clock of the process at the begin, and again when the limit could
    be reached at the earliest; the kernel itself has no limit for a part of a process's life.
    """

    def __init__(self, limits: Limits, lose: Callable[[WorkerError], None]) -> None:
        self._limits = limits
        self._lose = lose
        self._step: Step | None = None
        self._clock = 0
        self._began = 0.0
        self._sent = 0.0
        self._deadline = Alarm(self._timed_out)
        self._processor = Alarm(self._look)

    def begin(self, step: Step, pid: int) -> None:
        """A step is about to be sent to the process, which may have ended already."""
        self._step = step
        self._sent = time.monotonic()
        longest = min(step.timeout_seconds, self._limits.action_wall_seconds)
        self._deadline.set(longest)
        self._clock = processor_clock(pid)
        with contextlib.suppress(OSError):  # it has ended already, which is told by itself
            self._began = time.clock_gettime(self._clock)
            earliest = self._limits.action_cpu_seconds / CORES
            if earliest < longest:
                self._processor.set(earliest)

    def taken(self) -> tuple[int, int]:
        """Time and processor time, in microseconds, that the step under way took; none where it only reads."""
        if self._step is None or not self._step.may_call:
            return 0, 0
        wall_us = int((time.monotonic() - self._sent) * 1_000_000)
        try:
            return wall_us, int((time.clock_gettime(self._clock) - self._began) * 1_000_000)
        except OSError:  # it has ended
            return wall_us, 0

    def end(self) -> None:
        """The step is over."""
        self._step = None
        self._deadline.cancel()
        self._processor.cancel()

    def close(self) -> None:
        """There will be no further step."""
        self._deadline.close()
        self._processor.close()

    def _timed_out(self) -> None:
        step = self._step
        if step is None:
            return
        allowed = self._limits.action_wall_seconds
        if step.timeout_seconds <= allowed:
            self._lose(mishaps.timed_out(step))
        else:
            self._lose(mishaps.out_of_time(step, time.monotonic() - self._sent, allowed))

    def _look(self) -> None:
        if self._step is None:
            return
        try:
            used = time.clock_gettime(self._clock) - self._began
        except OSError:
            return
        left = self._limits.action_cpu_seconds - used
        if left > 0:
            self._processor.set(max(left / CORES, SOONEST_SECONDS))
        else:
            self._lose(mishaps.out_of_cpu(self._step, used, self._limits.action_cpu_seconds))


def processor_clock(pid: int) -> int:
    """The clock that tells the processor time of a process, all its threads together; as clock_getcpuclockid(3)."""
    return (~pid << 3) | 2
