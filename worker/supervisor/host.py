"""RunHost: executes what the life cycle of one incarnation decides. It decides nothing itself.

It owns the run process (through a ``ProcessHandle``), the timers and the writes of one incarnation. All calls
happen on the loop; every stimulus goes through ``_feed``, one after the other.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, assert_never

from protocol.entities import RunStatus
from worker.channel import ChannelError
from worker.clock import now_us
from worker.errors import InternalError, WorkerError
from worker.process.exits import classify_exit
from worker.process.handle import ProcessHandle
from worker.process.zygote import ExitReport, ZygoteError
from worker.runs import stimuli as s
from worker.runs.lifecycle import Run
from worker.runs.outcomes import Outcome
from worker.runs.record import RunRecord
from worker.supervisor import answers, mishaps
from worker.supervisor.bringup import BringUp
from worker.supervisor.calls import Calls
from worker.supervisor.chronicle import Chronicle
from worker.supervisor.farewell import Farewell
from worker.supervisor.head import Head
from worker.supervisor.holding import keep
from worker.supervisor.host_services import HostServices
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.observe import Moment
from worker.supervisor.step_watch import StepWatch
from worker.supervisor.telling import RunTeller
from worker.supervisor.verdicts import Verdicts
from worker.waiting import Alarm, Done


class ReroutedError(Exception):
    """The incarnation ended before the work began; it had no effect and may be asked for anew."""


class RunHost:
    """One incarnation of one run; see the module's docstring.

    ``head`` is the run's row. ``last_used`` is the loop's time of the last request. ``teller`` tells others.
    """

    def __init__(self, incarnation: Incarnation, services: HostServices) -> None:
        self._loop = asyncio.get_running_loop()
        self.incarnation = incarnation
        self.run_key = incarnation.run_key
        self._services = services
        self.log = services.log.bind(run_key=incarnation.run_key)
        self.run = Run(incarnation.origin, inbox_limit=services.settings.inbox_limit)
        self.head = Head(incarnation.record)
        self.last_used = self._loop.time()
        self._handle: ProcessHandle | None = None
        self._asking: dict[s.Work, Done] = {}
        self._stimuli: deque[s.Stimulus] = deque()
        self._feeding = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._rests_until = Alarm(lambda: self._feed(s.IdleExpired()))
        self.limits = services.limits.lowered(incarnation.context.limits.by_setting())
        self._step_watch = StepWatch(self.limits, self._lose)
        self._asked = 0
        self._step: s.Step | None = None
        self._step_at_us = 0
        self._bringing_up: asyncio.Task[None] | None = None
        self._waits_for_slot = False
        self._is_writing = False
        self._is_over = False
        self._farewell = Farewell(incarnation.context)
        self._verdicts = Verdicts(incarnation, services.schemas, self._spawn_task, self._performed)
        self._coming_up = BringUp(incarnation, services.settings, self.limits, self._tell_progress)
        self._calls = Calls(incarnation, services.providers, services.settings.callback_bytes)
        self._chronicle = Chronicle(incarnation, self._coming_up, self.log)
        self.teller = RunTeller(incarnation, services.announcer, self._spawn_task, self.log)

    # Asked from outside

    @property
    def live(self) -> bool:
        """Whether the run is in memory and usable."""
        return self.run.usable

    @property
    def pid(self) -> int | None:
        """Process id of the run process, once there is one."""
        return None if self._handle is None else self._handle.pid

    @property
    def replay_progress(self) -> tuple[int, int]:
        """Actions applied so far by the replay of this incarnation, and those there are."""
        return self._coming_up.applied, self._coming_up.total

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """What came to light while the run came into memory; belongs to the answer that brought it there."""
        return self._coming_up.warnings

    @property
    def seq(self) -> int:
        """The number of the last durable entry."""
        return self.head.seq

    @property
    def record(self) -> RunRecord:
        """The run's row as of the last durable write."""
        return self.head.record

    @record.setter
    def record(self, record: RunRecord) -> None:
        self.head.record = record

    def submit(self, work: s.Work, done: Done) -> None:
        """Queue work; ``done`` may be called before this returns, with ReroutedError where the work did not begin."""
        if self._is_over:  # released while the caller was on its way here
            done(ReroutedError())
            return
        self._asking[work] = done
        self._chronicle.asked(work)
        self.last_used = self._loop.time()
        self._feed(s.Requested(work))

    def expire(self, work: s.Work) -> None:
        """The caller waits no longer: drop the work if its turn has not come."""
        if work in self._asking:
            self._feed(s.Expired(work))

    def evict(self, reason: str, request_id: str | None = None) -> None:
        """Leave memory as soon as the current request is done; ``request_id``: of the request that wants it."""
        self._chronicle.ended_by(request_id)
        if self.run.state is not s.ProcessState.COLD:
            self._feed(s.EvictAsked(reason))

    def abandon(self, error: WorkerError) -> None:
        """Leave memory now; a request that is being performed gets ``error``."""
        self._lose(error)

    # Stimuli in, effects out

    def _feed(self, stimulus: s.Stimulus) -> None:
        self._stimuli.append(stimulus)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._stimuli:
                self._rests_until.cancel()
                self._services.observe(Moment.BEFORE, stimulus := self._stimuli.popleft(), self)
                try:
                    for effect in self.teller.watch(self.run, stimulus):
                        self._services.observe(Moment.BEFORE, effect, self)
                        self._execute(effect)
                        self._services.observe(Moment.AFTER, effect, self)
                except Exception:  # a bug costs this run its process, and nobody else anything
                    self.log.exception("bug in host")
                    self._lose(InternalError())
        finally:
            self._feeding = False

    def _execute(self, effect: s.Effect) -> None:
        match effect:
            case s.Boot():
                self._bringing_up = self._spawn_task(self._bring_up())
            case s.Replay() | s.Commit():  # steps of the bring-up task, which fed the stimulus that led here
                self._is_writing = isinstance(effect, s.Commit)
            case s.Send(work, step):
                self._send(work, step)
            case s.Append(work):
                self._is_writing = True
                self._append(work)
            case s.Pause(work):
                self._is_writing = True
                self._spawn_task(self._pause(work))
            case s.Resolve(work):
                self._asking.pop(work)(None)
            case s.Reject(work, error):
                self._asking.pop(work)(error)
            case s.Reroute(work):
                self._asking.pop(work)(ReroutedError())
            case s.Stop(reason, orderly):
                self._stop(reason, orderly=orderly)
            case s.Rested():
                self._rest()
            case s.Released(reason, lost):
                self._is_over = True
                for held in (self._rests_until, self._step_watch, self._farewell):
                    held.close()
                self._chronicle.ended(reason, self.record, lost=lost, came_up=self.run.came_up)
                if self.run.came_up:
                    self.teller.evicted(self.seq, reason)
                self._services.released(self, lost)
            case _:
                assert_never(effect)

    def _spawn_task(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("bug in host", exc_info=error)
            if self._is_writing:
                self._written(mishaps.unrecorded(InternalError()))
            else:
                self.abandon(InternalError())

    # Coming up: boot, replay, commit

    async def _bring_up(self) -> None:
        try:
            replays = self.incarnation.origin.replays
            self._waits_for_slot = True
            async with (self._services.replays if replays else self._services.boots).slot():
                self._waits_for_slot = False
                records = await self._boot()
                if replays:
                    records = await self._replay(records)
            if self.incarnation.origin.commits:
                await self._commit(records)
        except WorkerError as error:
            self._lose(error)
        finally:
            self._bringing_up = None
            if self._handle is None and self.run.state is s.ProcessState.STOPPING:
                self._feed(s.Stopped())

    async def _boot(self) -> dict[str, bytes]:
        self.record = await self.incarnation.begin()
        if not self._is_in(s.ProcessState.BOOTING):
            return {}
        try:
            self._handle = await self._services.spawn(self)
        except ZygoteError as error:
            raise mishaps.not_started(str(error)) from error
        self._services.memory.works(self)
        if not self._is_in(s.ProcessState.BOOTING):  # the fork took a while
            self._handle.kill("stopped while starting")
            return {}
        self._calls.begin_boot(self._handle.send, self._coming_up.boot_seconds)
        records = await self._coming_up.boot(self._handle, self.record)
        self.teller.recorded(records)
        if self._is_in(s.ProcessState.BOOTING):  # it may have ended right after its word
            self._feed(s.Booted())
        return records

    async def _replay(self, records: dict[str, bytes]) -> dict[str, bytes]:
        if self._handle is None or not self._is_in(s.ProcessState.REPLAYING):
            return records
        records = await self._coming_up.replay(self._handle)
        self.teller.recorded(records)
        if self._is_in(s.ProcessState.REPLAYING):
            if not self.incarnation.origin.commits:
                self._chronicle.came_up(self.record)
            self._feed(s.Replayed())
            self.teller.restored(self.seq)
        return records

    def _is_in(self, state: s.ProcessState) -> bool:
        return self.run.state is state

    async def _commit(self, records: dict[str, bytes]) -> None:
        if not self._is_writing:
            return
        try:
            self.record = await self.incarnation.commit(self.record, records, self._calls.finish())
        except WorkerError as error:
            self._written(error)
        else:
            self._chronicle.came_up(self.record)
            self._written(None)

    def _written(self, error: WorkerError | None) -> None:
        self._is_writing = False
        if error is not None:
            self._chronicle.write_failed(error, self.run.current, self.seq)
        self._feed(s.Appended() if error is None else s.AppendFailed(error))

    def _tell_progress(self, applied: int, total: int) -> None:
        source = self.record.cloned_from if self.incarnation.origin is s.Origin.CLONE else None
        self._services.progress(self.run_key, source, applied, total)

    # One step at a time

    def _send(self, work: s.Work, step: s.Step) -> None:
        handle = self._live_handle()
        if not work.outcomes:
            self.teller.begins(handle.output, work)
        self._services.memory.works(self)
        self._asked += 1
        self._step = step
        self._step_at_us = now_us()
        # Before the send: the process may be quicker than what stands behind it.
        self._step_watch.begin(step, handle.pid)
        if step.kind is s.StepKind.READ:
            handle.send(["read", self._asked, list(step.names), step.ignorable])
        else:
            seq = self.seq + work.recorded_steps + 1 if step.recorded else 0
            actor = work.actor_of(step)
            handle.send(["perform", self._asked, self._step_at_us, actor, step.action, step.inert, seq])
        self._calls.begin_step(handle.send, work, step)

    def _append(self, work: s.Work) -> None:
        append = self.head.append_of(work, self.teller, self._services.memory.of(self.run_key))

        def ended(error: Exception | None) -> None:
            if error is None:
                self.head.move(append)
                if append.changes:
                    self.teller.hold(None, append.changes[-1].to)
            self._written(None if error is None else mishaps.unrecorded(error))

        self.incarnation.store.submit(append, ended)

    async def _pause(self, work: s.Work) -> None:
        try:
            await keep(self.incarnation.store, self.run_key, work.pending)
        except WorkerError as error:
            return self._written(mishaps.unrecorded(error))
        self.teller.hold(work.pending, RunStatus.PAUSED)
        return self._written(None)

    # What the process says

    def on_message(self, message: list[Any]) -> None:
        """Judge one frame of the run process (``ProcessHandle`` calls this)."""
        match message:
            case ["outcome", n, _, _, _, _] if n == self._asked and self._step and not self._calls.waiting:
                told, carried = self._calls.finish(), self._step.carries
                outcome = answers.judge_outcome(
                    *message[2:], at_us=self._step_at_us, limits=self.limits, carried=carried, answers=told
                )
                self.head.use(*(taken := self._step_watch.taken()))
                self.teller.tracer.ended(self._live_handle().output, self._step_at_us, outcome, taken[1])
                step = self._step
                self._end_step()
                self._verdicts.hear(self.run.current, step, outcome, self.seq)
            case ["fault", _, "memory", _]:
                self._lose(mishaps.out_of_memory(self.limits.memory_bytes))
            case _ if not (self._farewell.hears(message) or self._calls.hears(message)):
                self._coming_up.on_message(message)

    def _performed(self, work: s.Work | None, outcome: Outcome) -> None:
        if self.run.current is work and self._is_in(s.ProcessState.BUSY):  # it may have been lost meanwhile
            self._feed(s.Performed(outcome))

    def on_broken(self, error: ChannelError) -> None:
        """The process sent garbage or too much; it was killed."""
        self._lose(mishaps.broke_channel(error))

    def on_exit(self, report: ExitReport) -> None:
        """The process is gone."""
        self._end_step()
        if self.run.state is not s.ProcessState.STOPPING:
            cause = classify_exit(report, killed_for=self._live_handle().killed_for, limits=self.limits)
            self._lose(mishaps.ended(cause))
        self._handle = None
        if self.run.state is s.ProcessState.STOPPING and self._bringing_up is None:
            self._feed(s.Stopped())

    def _end_step(self) -> None:
        self._step = None
        self._step_watch.end()
        self._calls.drop()

    # Going down

    def _lose(self, error: WorkerError) -> None:
        if self.run.state in (s.ProcessState.STOPPING, s.ProcessState.COLD):
            self._farewell.cut_short()
            return
        self._chronicle.failed(error, self.run.current)
        self._end_step()
        self._feed(s.Lost(error))

    def _stop(self, reason: str, *, orderly: bool) -> None:
        self._end_step()
        self._coming_up.stop(reason)
        if self._handle is not None:
            self._farewell.end(self._handle, reason, orderly=orderly)
        elif self._bringing_up is None:
            self._feed(s.Stopped())
        elif self._waits_for_slot:
            self._bringing_up.cancel()

    def _rest(self) -> None:
        self._services.memory.rests(self)
        row = self.head.attributes
        if not row.perpetual:
            self._rests_until.set(self._services.settings.of_project(row.project).session_timeout_seconds)

    def _live_handle(self) -> ProcessHandle:
        if self._handle is None:
            raise InternalError
        return self._handle
