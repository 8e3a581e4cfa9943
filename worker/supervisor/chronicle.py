"""The log lines of a run's life: one for each step, with who caused it and how long it took.

No line above DEBUG says anything that a model or its callers put in: values, arguments, output, what an exception
of the model says.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.errors import LogUnavailableError, WorkerError
from worker.runs.lifecycle import TAKEN_BACK
from worker.runs.record import RunRecord
from worker.runs.stimuli import Origin, Work
from worker.supervisor.bringup import BringUp
from worker.supervisor.changes import MODEL_CHANGED
from worker.supervisor.incarnation import Incarnation
from worker.telemetry import Logger

_CAME_UP: Final[Mapping[Origin, str]] = {
    Origin.CREATE: "run created",
    Origin.RESTORE: "run restored",
    Origin.RECAST: "run restored",
    Origin.REWIND: "run rewound",
    Origin.CLONE: "run cloned",
}
_ASKED_FOR: Final = frozenset({"request", "ritual", "rewind"})
"""Reasons to leave memory that are a request of somebody; others are the worker's own."""


class Chronicle:
    """The lines of one incarnation, which begins when this is made."""

    def __init__(self, incarnation: Incarnation, coming_up: BringUp, log: Logger) -> None:
        self._loop = asyncio.get_running_loop()
        self._incarnation = incarnation
        self._coming_up = coming_up
        self._log = log
        self._since = self._loop.time()
        self._caused_by: str | None = None
        self._ended_by: str | None = None
        self._is_up = False
        self._error: WorkerError | None = None
        self._lost_in: str | None = None

    def asked(self, work: Work) -> None:
        """Take note of a request: the first one brought the run into memory, and one may take it out again."""
        self._caused_by = self._caused_by or work.request_id
        if work.ends:
            self._ended_by = self._ended_by or work.request_id

    def ended_by(self, request_id: str | None) -> None:
        """Take note of a request, if it is one, that takes the run out of memory."""
        self._ended_by = request_id or self._ended_by

    def came_up(self, record: RunRecord) -> None:
        """The run is in memory and what it begins with is durable."""
        origin, coming_up = self._incarnation.origin, self._coming_up
        self._is_up = True
        self._tell_divergence()
        facts: dict[str, Any] = {"model_file": record.model_file} if not self._incarnation.continues else {}
        if origin.replays:
            facts |= {"replayed": coming_up.applied, "diverged": coming_up.diverged}
        if record.cloned_from is not None and origin is Origin.CLONE:
            facts["cloned_from"] = record.cloned_from
        for warning in self._incarnation.warnings:
            told = {name: value for name, value in warning.items() if name != "code"}
            what = "model changed" if warning["code"] == MODEL_CHANGED else "packages changed"
            self._log.warning(what, seq=record.seq, **_by(self._caused_by), **told)
        line = _CAME_UP[origin]
        self._log.info(line, seq=record.seq, **_by(self._caused_by), duration_seconds=self._lap(), **facts)

    def failed(self, error: WorkerError, work: Work | None) -> None:
        """The incarnation ends by ``error``, which ``work`` was being performed for; the first one counts."""
        if self._error is None:
            self._error = error
            self._lost_in = work.request_id if work is not None else None

    def write_failed(self, error: WorkerError, work: Work | None, seq: int) -> None:
        """What ``work`` did, behind ``seq``, did not become durable, and the incarnation ends by it."""
        self.failed(error, work)
        # An outage of the log is told once, by the log itself.
        if not isinstance(error, LogUnavailableError):
            cause = error.__cause__
            by = _by(self._lost_in)
            self._log.error(
                "write failed", **by, code=str(error.code), error=error.message, seq=seq, exc_info=cause
            )

    def ended(self, reason: str, record: RunRecord, *, lost: bool, came_up: bool) -> None:
        """The run is out of memory."""
        if not self._is_up:
            self._tell_divergence()
        duration = self._lap()
        if came_up and (not lost or reason == TAKEN_BACK):
            cause = _by(self._ended_by if reason in _ASKED_FOR else None)
            self._log.info("run evicted", reason=reason, seq=record.seq, **cause, duration_seconds=duration)
            return
        cause = _by(self._lost_in if came_up else self._caused_by)
        facts = {"code": reason} if self._error is None else self._facts(self._error, cause)
        line = "run lost" if came_up else "run failed to start"
        self._log.warning(line, seq=record.seq, **cause, duration_seconds=duration, **facts)

    def _tell_divergence(self) -> None:
        """Where the replay did not repeat the history: how often, and the first time."""
        if self._coming_up.diverged:
            first = self._coming_up.divergences[0]
            count = self._coming_up.diverged
            self._log.warning("replay diverged", **_by(self._caused_by), **first, diverged=count)

    def _facts(self, error: WorkerError, cause: dict[str, str]) -> dict[str, Any]:
        """What may be told of an error. One that repeats words of the model is told in full at DEBUG only."""
        code = str(error.code)
        if error.code is not ErrorCode.MODEL_LOAD_FAILED and "reason" not in error.information:
            return {"code": code, "error": error.message}
        self._log.debug("error of the model", **cause, code=code, error=error.message)
        return {"code": code}

    def _lap(self) -> float:
        """Seconds since the run began to come up, and after that since it came up."""
        now = self._loop.time()
        seconds, self._since = now - self._since, now
        return round(seconds, 4)


def _by(request_id: str | None) -> dict[str, str]:
    return {"request_id": request_id} if request_id else {}
