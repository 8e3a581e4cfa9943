"""What one incarnation tells of its run, apart from what is written with something else."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from protocol.entities import RunStatus
from worker.clock import now_us
from worker.errors import LogUnavailableError, WorkerError
from worker.log.base import NewEvent
from worker.process.output import OutputReader
from worker.runs import stimuli as s
from worker.runs.approvals import Pending
from worker.runs.history import LogEntry
from worker.runs.lifecycle import Run
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.record import RunRecord
from worker.supervisor.events import Announcer, Recorded
from worker.supervisor.failures import failure, reason_of
from worker.supervisor.holding import pending_of_profile
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.tracing import Tracer
from worker.supervisor.views import status_of
from worker.telemetry import Logger

Start = Callable[[Coroutine[Any, Any, None]], object]


class RunTeller:
    """Events of one incarnation.

    Nobody waits for those that have a write of their own. Writes keep the order of their submission, so what
    happens to the run afterwards is not told before them, and is not durable without them. ``stored_status``: that of
    the run's profile; while the run takes its course, that changes it and this is silent. Where somebody is told when a
    request begins, the status is ahead of it: written before the request is done, and put right with its end.
    """

    def __init__(self, incarnation: Incarnation, announcer: Announcer, start: Start, log: Logger) -> None:
        self._loop = asyncio.get_running_loop()
        self._incarnation = incarnation
        self._announcer = announcer
        self._start = start
        self._log = log
        self._recorded = Recorded()
        self.tracer = Tracer(on=incarnation.profile is not None and incarnation.profile.reasoning_traces)
        self._exists = incarnation.continues
        self._printed: list[tuple[str, str]] = []
        self.stored_status = RunStatus.READY if incarnation.profile is None else incarnation.profile.status
        self._target = None if incarnation.profile is None else incarnation.profile.on_status_change
        self._is_ahead = False
        self.pending = pending_of_profile(incarnation.profile)

    def hold(self, pending: Pending | None, status: RunStatus) -> None:
        """The run has another status by now, and this waits for approval."""
        self.pending = pending
        self.stored_status = status
        self._is_ahead = False

    def recorded(self, records: Mapping[str, bytes]) -> None:
        """Take what the archive has of the run while it comes up, so that only later changes are told."""
        self._recorded.changed(records)
        self.tracer.recorded(records)

    def state(
        self, record: RunRecord, entries: Sequence[LogEntry], records: Mapping[str, bytes]
    ) -> tuple[NewEvent, ...]:
        """The events to append with ``entries``; ``records`` are the values recorded by them."""
        return self._announcer.state(record, entries, self._recorded.changed(records))

    def executed(self, work: s.Work) -> tuple[StatusChange, ...]:
        """The changes of status that ``work`` was: its own, else for a run that has somebody told of them.

        What was written ahead is not written again, also where who made the changes did not see it yet.
        """
        if work.changes:
            was_told = self._is_ahead and work.changes[0].to is RunStatus.EXECUTING
            return work.changes[1:] if was_told else work.changes
        ready = StatusChange(RunStatus.READY, now_us())
        if self._is_ahead:
            self._is_ahead, self.stored_status = False, RunStatus.READY
            return (ready,)
        if self._target is None or self.stored_status is not RunStatus.READY:
            return ()
        return StatusChange(RunStatus.EXECUTING, work.outcomes[0].at_us), ready

    def restored(self, seq: int) -> None:
        """The run is in memory again, and that is all: nothing was to be made durable for it."""
        if not self._incarnation.origin.commits:
            self._tell(self._announcer.restored(seq, now_us()))

    def evicted(self, seq: int, reason: str) -> None:
        """The run is out of memory."""
        self._tell(self._announcer.evicted(seq, reason, now_us()))

    def watch(self, run: Run, stimulus: s.Stimulus) -> list[s.Effect]:
        """Hand a stimulus on, tell what the run does where that changes, and give the effects back."""
        before, current, was_up = run.state, run.current, run.came_up
        effects = run.handle(stimulus)
        self._exists = self._exists or run.came_up
        is_written = before is s.ProcessState.APPENDING and current is not None
        if isinstance(stimulus, s.Lost) and is_written:
            pass  # its process had done its part: what becomes of the request is what is being written
        elif self._is_ahead:
            self._catch_up(stimulus, current)
        elif isinstance(stimulus, s.Lost):
            self._tell_loss(stimulus.error, current, came_up=run.came_up)
        elif (
            self.stored_status is RunStatus.FAILED and run.usable and (not was_up or _changes_state(stimulus))
        ):
            self._turn(RunStatus.STARTING, RunStatus.READY)
        if self._announcer.tells_status and before is not run.state:
            self._tell_status(status_of(before), status_of(run.state), stimulus)
        return effects

    def _tell_loss(self, error: WorkerError, current: s.Work | None, *, came_up: bool) -> None:
        """A run fails with its process where something was asked of it, or it could not be brought back."""
        reason = reason_of(error)
        if reason is None or not self._exists or (current is None and came_up):
            return
        if self.stored_status is RunStatus.READY and current is not None:
            self._turn(RunStatus.EXECUTING, RunStatus.FAILED, error)
        elif self.stored_status in (RunStatus.READY, RunStatus.FAILED):
            self._turn(RunStatus.STARTING, RunStatus.FAILED, error)

    def _go_ahead(self, work: s.Work) -> None:
        """Write down that a request is executed, where somebody is told so, and it may be recorded."""
        if self._target is None or not any(step.recorded for step in work.steps):
            return
        asked = self._target.get("statuses")
        if self.stored_status is RunStatus.READY and (asked is None or RunStatus.EXECUTING in asked):
            self._is_ahead = True
            self._change(StatusChange(RunStatus.EXECUTING, now_us()))
        elif self.stored_status is RunStatus.EXECUTING and work.cause is s.Cause.CALL:
            # Left so by a request whose end could not be written down.
            self._is_ahead = True

    def _catch_up(self, stimulus: s.Stimulus, current: s.Work | None) -> None:
        """Put right what was written ahead, where the request ends without being recorded."""
        change = StatusChange(RunStatus.READY, now_us())
        is_undone = current is not None and current.taken_back is not None
        is_over = current is not None and current.finished and not current.leaves_trace
        if isinstance(stimulus, s.Lost):
            if reason_of(stimulus.error) is not None:
                change = failure(stimulus.error, now_us())
        elif not (isinstance(stimulus, s.Performed) and (is_over or is_undone)):
            return  # it goes on, or ends with what is recorded
        elif current is not None and current.pending is not None:
            return  # it is paused next, which is written like what is recorded
        self._is_ahead = False
        self._change(change)

    def _turn(self, via: RunStatus, to: RunStatus, error: WorkerError | None = None) -> None:
        at_us = now_us()
        last = StatusChange(to, at_us) if error is None else failure(error, at_us)
        self._change(StatusChange(via, at_us), last)

    def _change(self, *changes: StatusChange) -> None:
        """Change the durable status; nobody waits for it."""
        turned = self._incarnation.store.change_status(self._incarnation.run_key, *changes)
        self.stored_status = changes[-1].to
        self._start(self._settled_turn(turned))

    async def _settled_turn(self, turned: Awaitable[RunProfile]) -> None:
        try:
            await turned
        except WorkerError as error:
            if not isinstance(error, LogUnavailableError):
                self._log.warning("status lost", code=str(error.code))

    def _tell_status(self, before: RunStatus, after: RunStatus, stimulus: s.Stimulus) -> None:
        if before != after and self._exists:
            reason = str(stimulus.error.code) if isinstance(stimulus, s.Lost | s.AppendFailed) else None
            self._tell(self._announcer.status(before, after, reason, now_us()))

    def begins(self, output: OutputReader, work: s.Work) -> None:
        """The first step of a request is sent: what is printed from now on belongs to that request."""
        output.renew()
        self.tracer.begin()
        self._go_ahead(work)

    def output(self, level: str, line: str) -> None:
        """Take one line that the model printed or logged; lines of one moment make one event.

        What is printed before a new run exists, while its model loads, stands in the log only.
        """
        self.tracer.printed(line)
        if self._announcer.tells_output and self._exists:
            if not self._printed:
                self._loop.call_soon(self._tell_printed)
            self._printed.append((level, line))

    def _tell_printed(self) -> None:
        lines, self._printed = self._printed, []
        self._tell(self._announcer.output(lines, now_us()))

    def _tell(self, events: tuple[NewEvent, ...]) -> None:
        if not events:
            return
        try:
            # Submitted at once: whoever learns of what happened may do the next thing to the run.
            added = self._incarnation.store.add_events(self._incarnation.run_key, events)
        except WorkerError as error:
            self._lost(events, error)
        else:
            self._start(self._settle(events, added))

    async def _settle(self, events: tuple[NewEvent, ...], added: Awaitable[None]) -> None:
        try:
            await added
        except WorkerError as error:
            self._lost(events, error)

    def _lost(self, events: tuple[NewEvent, ...], error: WorkerError) -> None:
        if not isinstance(error, LogUnavailableError):  # counted where the outage is told
            self._log.warning("event lost", kind=str(events[0].kind), code=str(error.code))


def _changes_state(stimulus: s.Stimulus) -> bool:
    """Whether something is asked that changes the run, and not only looked at what it failed with."""
    return isinstance(stimulus, s.Requested) and any(step.recorded for step in stimulus.work.steps)
