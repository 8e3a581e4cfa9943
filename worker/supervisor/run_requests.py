"""Requests about runs as such: what they are shown as, how they begin, come back, change and end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from protocol.entities import RunStatus
from protocol.messages import CopyRequest, CreateRun, GetRun, RestoreRun, RewindRun, UpdateRun
from worker.channel import pack
from worker.errors import RequestError, WorkerError
from worker.log.base import Binding, NewEvent, StoredRequest
from worker.runs.contexts import execution_context, model_context
from worker.runs.record import RunRecord
from worker.runs.rules import rewind_refusal, rules_of
from worker.runs.stimuli import Work
from worker.supervisor.access import Served, StateAccess, closed, stored_answer
from worker.supervisor.attaching import Attaching
from worker.supervisor.flights import Flight
from worker.supervisor.holding import paused, pending_of_profile
from worker.supervisor.host import ReroutedError, RunHost
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.records import live_record, updated_record
from worker.supervisor.table import never_came_up
from worker.supervisor.views import run_view, shown_status
from worker.telemetry import Logger

WholeRunRequest = CreateRun | GetRun | RestoreRun | RewindRun | CopyRequest


class RunRequests:
    """Serves them, each in its order among the requests to its run; one object for the whole worker.

    ``sandbox``: the level that runs are shown with.
    """

    def __init__(self, access: StateAccess, attaching: Attaching, sandbox: str, log: Logger) -> None:
        self._access = access
        self._table = access.table
        self._stores = access.stores
        self._births = access.births
        self._announcer = access.births.announcer
        self._attaching = attaching
        self._sandbox = sandbox
        self._log = log

    def view(
        self, record: RunRecord, host: RunHost | None, stored: RunStatus = RunStatus.READY
    ) -> dict[str, Any]:
        """The run as its clients see it; ``host`` where it has one, ``stored``: the status of its profile."""
        live = host is not None and host.live
        status = shown_status(None if host is None else host.run.state, stored)
        return run_view(record, status, live=live, sandbox=self._sandbox)

    def _shown(
        self, host: RunHost, served_from: str, warnings: Sequence[dict[str, Any]] = ()
    ) -> dict[str, Any]:
        run = {"run_key": host.run_key, "served_from": served_from, "seq": host.seq}
        return Served(self.view(host.record, host), run, [*host.warnings, *warnings]).body()

    async def serve(self, flight: Flight, request: WholeRunRequest) -> dict[str, Any]:
        """The body of the reply."""
        match request:
            case CreateRun():
                return await self.create(flight, request)
            case GetRun():
                return await self.get(request)
            case RestoreRun():
                return await self.restore(flight, request)
            case RewindRun():
                return await self.rewind(flight, request)
            case CopyRequest():
                return await self.clone(flight, request)

    async def get(self, request: GetRun) -> dict[str, Any]:
        """The run's record."""
        host, record = await self._access.locate(request, request.run_key)
        return {"result": self.view(record, host, await self._stores.status_of(request.run_key))}

    async def create(
        self, flight: Flight, request: CreateRun, binding: Binding | None = None
    ) -> dict[str, Any]:
        """A new run in memory, durable when answered; that of ``binding`` where there is one."""
        stored = self._access.stored(flight, None)
        if stored is not None:
            return stored_answer(stored)
        return await self._bring_up(flight, await self._births.new.create(request, flight, binding), "memory")

    async def _bring_up(self, flight: Flight, incarnation: Incarnation, served_from: str) -> dict[str, Any]:
        host = await self._table.start(incarnation, flight.check)
        work = Work(request_id=flight.request.request_id, digest=flight.digest, begun=True)
        await flight.perform(host, work)
        return self._shown(host, served_from)

    async def restore(self, flight: Flight, request: RestoreRun) -> dict[str, Any]:
        """The run, brought into memory from its log where it is not there."""
        return await self.into_memory(flight, request.run_key, request)

    async def into_memory(
        self, flight: Flight, run_key: str, request: RestoreRun | None = None
    ) -> dict[str, Any]:
        """What ``restore`` gives, for a request that is about more where ``request`` is None.

        A run that was started and did not come up is begun anew, once.
        """
        begun_anew = False
        while True:
            await self._access.under_way.settled(flight, run_key)
            async with self._table.gate(run_key):
                stored = self._access.stored(flight, run_key)
                if stored is not None:
                    return stored_answer(stored)
                await self._table.settled(run_key)
                host, record = await self._access.locate(flight.request, run_key)
                if record.closed:
                    raise closed(run_key)
                if record.seq == 0 and host is None and not begun_anew:
                    begun_anew = True
                    self._access.under_way.restart(run_key)
                    continue
                served_from = "memory" if host is not None and host.live else "restored"
                begun = host is None
                notes = [] if host is None or request is None else _not_applied(request, host)
                if host is None:
                    incarnation = await self._births.restore(record, flight, request)
                    host = await self._table.start(incarnation, flight.check)
                performed = flight.performing(host, Work(flight.request.request_id, begun=begun))
            try:
                await performed
            except ReroutedError:
                continue
            return self._shown(host, served_from, notes)

    async def rewind(self, flight: Flight, request: RewindRun) -> dict[str, Any]:
        """The run as it was some steps ago, in a new process; its tail is taken back once that is up."""
        await self._access.under_way.settled(flight, request.run_key)
        async with self._table.gate(request.run_key):
            stored = self._access.stored(flight, request.run_key)
            if stored is not None:
                return stored_answer(stored)
            record = await self._quiet(flight, request.run_key)
            if record.closed:
                raise closed(request.run_key)
            await self._refuse_rewind(request.run_key)
            incarnation = await self._births.rewind(record, request, flight)
            host = self._table.get(request.run_key)
            if host is not None:
                await incarnation.store.check()
                await self._table.replace(host, "rewind", request.request_id)
            host = await self._table.start(incarnation, flight.check)
            performed = flight.performing(host, Work(request_id=request.request_id, begun=True))
        await performed
        return self._shown(host, "restored")

    async def _refuse_rewind(self, run_key: str) -> None:
        """Refuse to rewind what waits for approval, or takes no requests.

        Raises:
            RequestError: RUN_PAUSED, NOT_INTERACTIVE.
        """
        profile = await self._stores.of(run_key).read_profile(run_key)
        refusal = rewind_refusal(rules_of(profile))
        if refusal is not None:
            raise RequestError(refusal.code, refusal.message, **refusal.information)
        pending = pending_of_profile(profile)
        if pending is not None:
            raise paused(run_key, pending)

    async def clone(self, flight: Flight, request: CopyRequest) -> dict[str, Any]:
        """A new run with the state that another has or had, in its scope or in that of an episode."""
        await self._access.under_way.settled(flight, request.run_key)
        async with self._table.gate(request.run_key):
            stored = self._access.stored(flight, None)
            if stored is not None:
                return stored_answer(stored)
            source = await self._quiet(flight, request.run_key)
            if request.attached_functions is not None:
                listed = [
                    one.model_dump(mode="json", exclude_none=True) for one in request.attached_functions
                ]
                await self._attaching.judge_functions(source, listed, flight)
            incarnation = await self._births.clone(source, request, flight)
        return await self._bring_up(flight, incarnation, "restored")

    async def _quiet(self, flight: Flight, run_key: str) -> RunRecord:
        """The run's row when all that was asked of it before is done. The caller holds the run's gate."""
        while True:
            await self._table.settled(run_key)
            host, record = await self._access.locate(flight.request, run_key)
            if host is None:
                return record
            try:
                await flight.perform(host, Work(flight.request.request_id))
            except ReroutedError:
                continue
            except WorkerError as error:
                if never_came_up(host, error):
                    continue
                raise
            return host.record

    async def update(self, flight: Flight, request: UpdateRun, run_key: str) -> dict[str, Any]:
        """The run with attributes changed; closing it ends it first."""
        if request.closed is True:
            await self._access.under_way.settled(flight, run_key)
        async with self._table.gate(run_key):
            stored = self._access.stored(flight, run_key)
            if stored is not None:
                return stored_answer(stored)
            stored = StoredRequest(request.request_id, run_key, flight.digest)
            return {"result": await self._updated(flight, request, run_key, stored)}

    async def close(self, flight: Flight, run_key: str) -> None:
        """Close a run for a request that is about more, and that is not stored with it."""
        request_id = flight.request.request_id
        request = UpdateRun(type="update_run", request_id=request_id, run_key=run_key, closed=True)
        async with self._table.gate(run_key):
            await self._updated(flight, request, run_key, None)

    async def _updated(
        self, flight: Flight, request: UpdateRun, run_key: str, stored: StoredRequest | None
    ) -> dict[str, Any]:
        """Change a row, and store the request with the view of it; the caller holds the run's gate."""
        began = asyncio.get_running_loop().time()
        if request.closed is True:
            await self._access.locate(flight.request, run_key)
            await self._stores.of(run_key).check()
            await self._end(flight, run_key)
        host, _ = await self._access.locate(flight.request, run_key)
        of_profile = await self._stores.status_of(run_key)
        state, live = (None, False) if host is None else (host.run.state, host.live)
        status = shown_status(state, of_profile)

        def edit(current: RunRecord) -> RunRecord:
            return updated_record(current, request)

        def view(row: RunRecord) -> dict[str, Any]:
            return run_view(row, status, live=live, sandbox=self._sandbox)

        def tell(old: RunRecord, new: RunRecord) -> tuple[NewEvent, ...]:
            return self._announcer.closed(old, new, request.request_id)

        store = self._stores.of(run_key)
        row = await store.update(run_key, edit, stored, lambda row: pack(view(row)), tell)
        if host is not None:
            host.record = live_record(host.record, row)
        if request.closed is True:
            self._log.info(
                "run closed",
                run_key=run_key,
                seq=row.seq,
                request_id=request.request_id,
                duration_seconds=round(asyncio.get_running_loop().time() - began, 4),
            )
        return view(row)

    async def as_it_is(self, flight: Flight, run_key: str) -> dict[str, Any]:
        """The run of a request that looked for one, which it is not brought into memory for.

        Raises:
            RequestError: RUN_NOT_FOUND, PERMIT_VIOLATION; RUN_CLOSED where it is closed or hidden by now.
        """
        host, _ = await self._access.locate(flight.request, run_key)
        status = await self._stores.status_of(run_key)
        row = await self.answered_with(flight, run_key, lambda row: self.view(row, host, status))
        live = host is not None and host.live
        run = {"run_key": run_key, "served_from": "memory" if live else "archive", "seq": row.seq}
        return Served(self.view(row, host, status), run).body()

    async def answered_with(
        self, flight: Flight, run_key: str, view: Callable[[RunRecord], dict[str, Any]]
    ) -> RunRecord:
        """Store that a request was answered with a run that there was already, as ``view`` shows its row.

        Raises:
            RequestError: RUN_NOT_FOUND; RUN_CLOSED where it is closed or hidden by now.
        """

        def unchanged(row: RunRecord) -> RunRecord:
            if row.closed or row.hidden:
                raise closed(run_key)
            return row

        stored = StoredRequest(flight.request.request_id, run_key, flight.digest)
        return await self._stores.of(run_key).update(run_key, unchanged, stored, lambda row: pack(view(row)))

    async def evict(self, flight: Flight, run_key: str) -> dict[str, Any]:
        """Nothing, once the run has left memory; so too where it was not there."""
        await self._access.under_way.settled(flight, run_key)
        async with self._table.gate(run_key):
            await self._access.locate(flight.request, run_key)
            await self._end(flight, run_key)
            # An ephemeral run whose process was lost is kept for who restores it; not any longer.
            await self._table.forget(run_key)
        return {"result": None}

    async def delete(self, flight: Flight, run_key: str, stored: StoredRequest) -> None:
        """Take a run out of memory and delete all that is kept of it, and store the request."""
        async with self._table.gate(run_key):
            await self._access.locate(flight.request, run_key)
            await self._end(flight, run_key)
            durable, is_ephemeral = self._stores.durable, self._stores.is_ephemeral(run_key)
            if is_ephemeral:
                await self._stores.ephemeral.remove(run_key, stored)
            await self._table.forget(run_key)
            self._stores.erase(run_key)
            if not is_ephemeral:
                await durable.remove(run_key, stored)
            self._log.info("run deleted", run_key=run_key, request_id=flight.request.request_id)

    async def delete_unless_live(self, run_key: str) -> bool:
        """Delete a stored run that is not in memory and takes no course; whether it was."""
        async with self._table.gate(run_key):
            if self._table.get(run_key) is not None or run_key in self._access.under_way:
                return False
            await self._stores.durable.remove(run_key)
        return True

    async def _end(self, flight: Flight, run_key: str) -> None:
        """Take a run out of memory after what was asked of it before. The caller holds the run's gate."""
        while (host := self._table.get(run_key)) is not None:
            try:
                await flight.perform(host, Work(flight.request.request_id, ends=True))
            except ReroutedError:
                await self._table.gone(run_key)
            except WorkerError as error:
                if not never_came_up(host, error):
                    raise
                await self._table.gone(run_key)


def _not_applied(request: RestoreRun, host: RunHost) -> list[dict[str, Any]]:
    """Warnings of what a restore asks for and a run that is in memory already does not take.

    Raises:
        RequestError: INVALID_CONTEXT: what could not be taken in any case.
    """
    model_context("model_context", request.model_context or {})
    execution_context("execution_context", request.execution_context or {})
    running = host.record.execution_context
    asked = {
        "model_context": bool(request.model_context),
        "execution_context": bool(request.execution_context) and request.execution_context != running,
        "ephemeral": request.ephemeral and not host.incarnation.ephemeral,
    }
    message = "the run was in memory already; evict it, then restore it with this"
    return [
        {"code": "NOT_APPLIED", "path": path, "message": message} for path, is_new in asked.items() if is_new
    ]
