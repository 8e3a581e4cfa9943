"""The course of a run that was started: it comes up, performs its initial actions, and is ready or failed.

A course is a task beside all requests. What it has done is known from the store alone, so that a worker that was
killed takes it up where it was: whether the run has begun (its history is not empty), and which of its actions were
performed, each of which is a request of the id ``<run key>:<number>``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.messages import GetRun, PerformActions, Request, RestoreRun
from worker.clock import now_us
from worker.errors import RequestError, WorkerError
from worker.log.base import Store
from worker.runs.approvals import Pending
from worker.runs.identity import request_digest
from worker.runs.profile import FinishReason, RunProfile, StatusChange
from worker.runs.results import Verdict, turned
from worker.runs.rules import rules_of
from worker.runs.status import AT_REST
from worker.runs.stimuli import Work
from worker.supervisor.access import StateAccess
from worker.supervisor.failures import failure, reason_of
from worker.supervisor.flights import Flight
from worker.supervisor.holding import original, pending_of_profile
from worker.supervisor.host import ReroutedError
from worker.supervisor.slots import Slots
from worker.supervisor.verdicts import has_no_value, unencodable, verdict_on
from worker.telemetry import Logger

T = TypeVar("T")
RETRY_SECONDS: Final = 1.0
"""Between two attempts at what the worker has no room for, or its disk refuses."""
ATTEMPTS: Final = 3
"""At a request that was approved, while processes are lost that perform it."""
_OF_ONE_PROCESS: Final = (ErrorCode.PROCESS_EXITED, ErrorCode.BOOT_TIMEOUT)
_PASSING: Final = (
    ErrorCode.CAPACITY,
    ErrorCode.LOG_UNAVAILABLE,
    ErrorCode.FENCED,
    ErrorCode.OUTCOME_UNKNOWN,
)
"""What says nothing of the run."""


class _LeftError(Exception):
    """The worker ends; the next one goes on."""


class Courses:
    """Takes runs through their courses; one object for the whole worker. Those that wait for a slot are in order."""

    def __init__(self, access: StateAccess, limit: int, log: Logger) -> None:
        self._access = access
        self._stores = access.stores
        self._under_way = access.under_way
        self._under_way.restart = self.begin
        self._slots = Slots(limit, oldest_first=True)
        self._log = log
        self._ends = False

    def begin(self, run_key: str) -> None:
        """Take a run through the rest of its course, beside everything else."""
        if run_key not in self._under_way and not self._ends:
            task = asyncio.get_running_loop().create_task(self._course(run_key))
            self._under_way.add(run_key, task)
            task.add_done_callback(partial(self._done, run_key))

    async def resume(self) -> None:
        """Take up what the worker before this one left."""
        for run_key in await self._stores.durable.unfinished():
            self.begin(run_key)

    def status(self) -> dict[str, int]:
        """How many runs take their course, and how many of them wait for their turn."""
        return {"under_way": len(self._under_way), "waiting": self._slots.waiting}

    async def close(self) -> None:
        """Leave all courses as they are; idempotent."""
        self._ends = True
        await self._under_way.stop_all()

    def _done(self, run_key: str, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("bug in a course", run_key=run_key, exc_info=error)

    async def _course(self, run_key: str) -> None:
        try:
            async with self._slots.slot():
                await self._take(run_key)
        except (asyncio.CancelledError, _LeftError):
            return

    async def _take(self, run_key: str) -> None:
        store = self._stores.of(run_key)
        profile = await self._insist(lambda: store.read_profile(run_key))
        if profile is None or profile.status in (RunStatus.READY, RunStatus.PAUSED):
            return
        pending = pending_of_profile(profile)
        if pending is not None and not pending.of_course:
            await self._carry_out(store, profile, pending)
            return
        if profile.course is None:
            # A request was being served when the worker was killed; what it did is not known to have been anything.
            error = WorkerError(ErrorCode.PROCESS_EXITED, "the worker ended while the request was served")
            await self._turn(store, profile, failure(error, now_us()))
            return
        if profile.status is RunStatus.EXECUTING and await self._has_gone_on(store, profile):
            # Killed in a later request, which was told of ahead: the course is over, and its result not the last one.
            await self._turn(store, profile, StatusChange(RunStatus.READY, now_us()))
            return
        if profile.status in (RunStatus.CREATED, RunStatus.FAILED):
            profile = await self._turn(store, profile, StatusChange(RunStatus.STARTING, now_us()))
        try:
            verdict = await self._run_through(profile)
        except WorkerError as error:
            if error.code is ErrorCode.DRAINING:
                raise _LeftError from error
            if error.code in (ErrorCode.RUN_NOT_FOUND, ErrorCode.RUN_EPHEMERAL, ErrorCode.PENDING_APPROVAL):
                return
            change = failure(error, now_us())
        else:
            change = conclusion(profile, verdict)
        await self._turn(store, profile, replace(change, pending=None))

    async def _has_gone_on(self, store: Store, profile: RunProfile) -> bool:
        """Whether more is recorded of a run than its course."""
        record = await self._insist(lambda: self._stores.get(profile.run_key))
        actions = (profile.course or {}).get("actions", ())
        if not actions:
            return record.seq > 1
        found = store.find_request(f"{profile.run_key}:{len(actions)}")
        return any(one.run_key == profile.run_key and record.seq > one.last_seq > 0 for one in found)

    async def _carry_out(self, store: Store, profile: RunProfile, pending: Pending) -> None:
        """Do what was decided about a request: perform it as the one who asked would, or record its denial."""
        run_key = profile.run_key
        request = original(pending, profile.project, run_key)
        began = asyncio.get_running_loop().time()
        flight = Flight(request, pending.digest, began, of_course=True, is_carried=True)
        for attempt in range(ATTEMPTS):
            try:
                await self._insist(lambda: self._access.serve(flight, request, run_key))
            except WorkerError as error:
                if error.code is ErrorCode.DRAINING:
                    raise _LeftError from error
                if error.code in _OF_ONE_PROCESS and attempt + 1 < ATTEMPTS:
                    continue  # nothing of it is recorded, and what was decided holds
                await self._give_up(store, run_key, error)
            return

    async def _give_up(self, store: Store, run_key: str, error: WorkerError) -> None:
        """A request that was decided could not be performed, and will not be tried again, where it left no trace."""
        profile = await self._insist(lambda: store.read_profile(run_key))
        pending = pending_of_profile(profile)
        if profile is None or pending is None or pending.decision is None:
            return
        at_us = now_us()
        lost = reason_of(error) is not None
        change = failure(error, at_us) if lost else StatusChange(RunStatus.READY, at_us)
        await self._turn(store, profile, replace(change, pending=None))

    async def _run_through(self, profile: RunProfile) -> Verdict:
        """What the last initial action came to, as the run's result."""
        course = profile.course or {}
        actions, value, warnings = course.get("actions", ()), None, list[dict[str, Any]]()
        record = await self._insist(lambda: self._stores.get(profile.run_key))
        if record.seq == 0:
            await self._insist(lambda: self._boot(profile))
        self._tell_host(profile.run_key, RunStatus.EXECUTING)
        for number, action in enumerate(actions, 1):
            try:
                value, warnings = await self._insist(partial(self._perform, profile, number, action))
            except WorkerError as error:
                if profile.result_schema is None or number < len(actions) or not has_no_value(error):
                    raise
                return unencodable(error, rules_of(profile))
        if not actions:
            return Verdict(None)
        return await verdict_on(self._access.schemas, rules_of(profile), value, warnings)

    async def _boot(self, profile: RunProfile) -> None:
        run_key, access = profile.run_key, self._access
        flight = _flight(GetRun.model_validate({"type": "get_run", **_fields(profile, 0)}))
        async with access.table.gate(run_key):
            record = await self._stores.get(run_key)
            if record.seq > 0:
                return
            incarnation = await access.births.new.first(record, profile, flight, RunStatus.EXECUTING)
            host = await access.table.start(incarnation, flight.check)
            work = Work(request_id=incarnation.boot_request_id, digest=flight.digest, begun=True)
            performed = flight.performing(host, work)
        await performed

    async def _perform(
        self, profile: RunProfile, number: int, action: dict[str, Any]
    ) -> tuple[Any, list[dict[str, Any]]]:
        """Perform one action, or learn what it came to before."""
        fields = {"type": "perform_actions", "actions": [action], **_fields(profile, number)}
        request = PerformActions.model_validate(fields)
        override = (profile.course or {}).get("model_context")
        if override and self._access.table.get(profile.run_key) is None:
            await self._restore(profile, override)
        served = await self._access.serve(_flight(request), request, profile.run_key)
        (result,) = served.result
        return result.get("result", result.get("value")), served.warnings

    async def _restore(self, profile: RunProfile, override: dict[str, Any]) -> None:
        """Bring a run back in the middle of its course, with the context that it was started with."""
        run_key, access = profile.run_key, self._access
        fields = {"type": "restore_run", "model_context": override, **_fields(profile, 0)}
        request = RestoreRun.model_validate(fields)
        flight = _flight(request)
        async with access.table.gate(run_key):
            if access.table.get(run_key) is not None:
                return
            record = await self._stores.get(run_key)
            host = await access.table.start(
                await access.births.restore(record, flight, request), flight.check
            )
            performed = flight.performing(host, Work(request.request_id, begun=True))
        await performed

    async def _turn(self, store: Store, profile: RunProfile, change: StatusChange) -> RunProfile:
        if change.to is RunStatus.FAILED:
            self._log.warning(
                "run failed",
                run_key=profile.run_key,
                reason=change.reason,
                code=(change.error or {}).get("code"),
            )
        turned = await self._insist(lambda: store.change_status(profile.run_key, change))
        self._tell_host(profile.run_key, turned.status)
        return turned

    def _tell_host(self, run_key: str, status: RunStatus) -> None:
        host = self._access.table.get(run_key)
        if host is not None:
            host.teller.hold(
                None if status in AT_REST and status is not RunStatus.PAUSED else host.teller.pending, status
            )

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it is done, or failed for a reason that will not pass."""
        while True:
            try:
                return await attempt()
            except ReroutedError:
                continue
            except WorkerError as error:
                if error.code not in _PASSING:
                    raise
            await asyncio.sleep(RETRY_SECONDS)


def _fields(profile: RunProfile, number: int) -> dict[str, Any]:
    """What the requests of a course have in common; the same each time, so that they are answered as before."""
    fields = {
        "request_id": f"{profile.run_key}:{number}",
        "run_key": profile.run_key,
        "actor": (profile.course or {}).get("actor"),
        "project": profile.project or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _flight(request: Request) -> Flight:
    digest = request_digest(request.model_dump(mode="json", exclude_unset=True))
    return Flight(request, digest, asyncio.get_running_loop().time(), of_course=True)


def conclusion(profile: RunProfile, verdict: Verdict) -> StatusChange:
    """The change that a course ends with: ready, with its result; a run that takes no requests is complete."""
    reason = None if profile.interactive else FinishReason.COMPLETED
    at_us = now_us()
    (change,) = turned(profile.status, [StatusChange(RunStatus.READY, at_us, reason=reason)], verdict, at_us)
    return change


def already(run_key: str) -> RequestError:
    """The refusal of an id that names a run which was started otherwise."""
    return RequestError(
        ErrorCode.REQUEST_ID_REUSED,
        f"run_id: it is that of run {run_key}, which was started with another request; choose another one",
        path="run_id",
        run_key=run_key,
    )
