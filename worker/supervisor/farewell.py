"""How a run process ends: at once, or after its handler of onTerminating has had its time."""

from typing import Any, Final

from worker.clock import now_us
from worker.process.handle import ProcessHandle
from worker.runs.contexts import TERMINATING, TERMINATING_SECONDS_MAX, ModelContext
from worker.waiting import Alarm

DEFAULT_SECONDS: Final = 1.0


class Farewell:
    """The end of one process. Whatever it says or does not say after it was asked to leave, it is killed.

    ``close`` lets go of the timer.
    """

    def __init__(self, context: ModelContext) -> None:
        asked = context.event_timeout_seconds(TERMINATING) or DEFAULT_SECONDS
        self._seconds = min(asked, TERMINATING_SECONDS_MAX)
        self._ends = Alarm(self.cut_short)
        self._leaving: tuple[ProcessHandle, str] | None = None

    def end(self, handle: ProcessHandle, reason: str, *, orderly: bool) -> None:
        """End the process; only one that is ``orderly`` (at rest, and not ahead of its log) is asked to leave."""
        self._leaving = (handle, reason)
        if orderly:
            handle.send(["terminate", now_us()])
            self._ends.set(self._seconds)
        else:
            self.cut_short()

    def hears(self, _message: list[Any]) -> bool:
        """Take a frame of a process that was asked to leave: the last one. False where it was not asked."""
        if self._leaving is None:
            return False
        self.cut_short()
        return True

    def cut_short(self) -> None:
        """Wait no longer for a process that was asked to leave."""
        self._ends.cancel()
        if self._leaving is not None:
            handle, reason = self._leaving
            handle.kill(reason)

    def close(self) -> None:
        """The process is gone."""
        self._ends.close()
