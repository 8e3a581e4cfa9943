"""Whether the log can be written and read, as of the last that was tried: for requests, status and operators.

An outage begins with a write that disk or database refused, and ends when a probe, which is a write known to
reach the disk, is durable. A probe is made for whoever asks meanwhile, and every second besides. The worker's
log gets one line at the beginning and one at the end; faults that come again within a second belong together.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.clock import iso, now_us
from worker.errors import LogUnavailableError
from worker.telemetry import Logger

PROBE_SECONDS: Final = 1.0
READ_FAILURE_LINES_SECONDS: Final = 60.0
"""How far apart lines about failing reads are: a damaged page fails whenever somebody asks for it."""

_SUSPICIOUS: Final = ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Since when (microseconds since 1970) and why something fails, and how often it did."""

    since_us: int
    message: str
    count: int

    def view(self) -> dict[str, Any]:
        """As ``worker_status`` shows it."""
        return {"since": iso(self.since_us), "message": self.message, "count": self.count}


class LogHealth:
    """Used on one loop. ``probe`` submits a write that reaches the disk; ``stop`` ends the watching."""

    def __init__(self, probe: Callable[[], "asyncio.Future[Any]"], log: Logger | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._probe = probe
        self._log = log
        self._probing: asyncio.Task[LogUnavailableError | None] | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._announced: Trouble | None = None
        self._last_failure = 0.0
        self._next_read_line = 0.0
        self.outage: Trouble | None = None
        self.read_failures: Trouble | None = None
        """Reads that failed since the start; a later success elsewhere does not mend them."""
        self.is_suspect = False
        """Whether the files gave cause to look through them before they are used again."""

    def view(self) -> dict[str, Any]:
        """As ``worker_status`` shows it; nothing where nothing is wrong."""
        troubles = {"outage": self.outage, "read_failures": self.read_failures}
        return {name: trouble.view() for name, trouble in troubles.items() if trouble is not None}

    async def check(self) -> None:
        """Return at once unless there is an outage, else when it is found to be over.

        Raises:
            LogUnavailableError: it goes on.
        """
        if self.outage is None:
            return
        since_us = self.outage.since_us
        error = await asyncio.shield(self._prove())
        if error is not None:
            information: dict[str, Any] = {**error.information, "since": iso(since_us)}
            raise LogUnavailableError(error.message, **information) from error

    def write_failed(self, error: LogUnavailableError, count: int) -> None:
        """Note that disk or database refused ``count`` writes."""
        self._last_failure = self._loop.time()
        self._suspect(error)
        if self.outage is not None:
            self.outage = replace(self.outage, count=self.outage.count + count)
            return
        self.outage = Trouble(now_us(), error.message, count)
        if self._announced is None:
            self._announced = self.outage
            self._tell("error", "log unavailable", error=error.message)
            self._watch()

    def read_failed(self, error: LogUnavailableError) -> None:
        """Note that something could not be read."""
        self._suspect(error)
        known = self.read_failures or Trouble(now_us(), error.message, 0)
        self.read_failures = replace(known, message=error.message, count=known.count + 1)
        if self._loop.time() >= self._next_read_line:
            self._next_read_line = self._loop.time() + READ_FAILURE_LINES_SECONDS
            self._tell("error", "log cannot be read", error=error.message, count=known.count + 1)

    def _suspect(self, error: LogUnavailableError) -> None:
        self.is_suspect = self.is_suspect or str(error.information.get("reason")).startswith(_SUSPICIOUS)

    async def stop(self) -> None:
        """Watch no longer; returns when no probe is under way."""
        if self._watching is not None:
            self._watching.cancel()
        if self._probing is not None:
            await self._probing

    def _prove(self) -> "asyncio.Task[LogUnavailableError | None]":
        """The probe under way, or a new one; its result is what it failed with."""
        if self._probing is None:
            self._probing = self._loop.create_task(self._try())
        return self._probing

    async def _try(self) -> LogUnavailableError | None:
        try:
            await self._probe()
        except LogUnavailableError as error:
            return error
        finally:
            self._probing = None
        self.outage = None
        return None

    def _watch(self) -> None:
        self._watching = self._loop.call_later(PROBE_SECONDS, self._look)

    def _look(self) -> None:
        if self.outage is None and self._announced and self._loop.time() - self._last_failure > PROBE_SECONDS:
            seconds = round((now_us() - self._announced.since_us) / 1e6, 3)
            self._tell("warning", "log available again", seconds=seconds)
            self._announced = None
            return
        if self.outage is not None:
            self._prove()
        self._watch()

    def _tell(self, level: str, event: str, **fields: Any) -> None:
        if self._log is not None:
            getattr(self._log, level)(event, **fields)
