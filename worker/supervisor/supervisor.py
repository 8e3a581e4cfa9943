"""The supervisor: every request type, served from the table of runs, the stores and the hosts."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from protocol.errors import ErrorCode
from protocol.messages import (
    AnswerFunction,
    CallOperation,
    CopyRequest,
    CreateRun,
    Drain,
    EvictRun,
    GetRun,
    IntrospectModel,
    IntrospectRun,
    ListModels,
    ManyRunRequest,
    PerformActions,
    Ping,
    QueryRuns,
    ReadEvents,
    ReadHistory,
    ReadMetadata,
    ReadVariables,
    Request,
    RestoreRun,
    RewindRun,
    ServedRequest,
    ServeFunctions,
    UpdateMetadata,
    UpdateRun,
    WorkerStatus,
    WriteVariables,
)
from protocol.profiles import (
    DecideAction,
    DeleteRun,
    FacetRuns,
    FindRuns,
    GetProfile,
    ListDeliveries,
    ReadResult,
    ReadTraces,
    Redeliver,
    SearchRuns,
    StartRun,
    UpdateProfile,
)
from protocol.sharing import (
    AssignWorldRun,
    CloseWorldRun,
    CreateSingularRun,
    GetRunWithStrategy,
    GetSingularRunKey,
    OpenWorldRun,
)
from worker import VERSION
from worker.errors import InternalError, WorkerError
from worker.log.base import FoundRun
from worker.process.pool import ZygotePool
from worker.process.schema_judge import SchemaJudge
from worker.settings import Settings
from worker.supervisor.access import StateAccess, check_ritual
from worker.supervisor.attaching import Attaching
from worker.supervisor.catalogs import not_served
from worker.supervisor.courses import Courses
from worker.supervisor.deliveries import Deliveries
from worker.supervisor.expiry import Expiry
from worker.supervisor.fitting import Fitting
from worker.supervisor.flights import ALWAYS_SERVED, Come, Flight, Flights, failure
from worker.supervisor.guarding import guards_in_file
from worker.supervisor.introspection import Introspector
from worker.supervisor.metadata import read_metadata, update_metadata
from worker.supervisor.pages import events_page, history_page, traces_page
from worker.supervisor.peers import Peer
from worker.supervisor.profiles import ProfileRequests
from worker.supervisor.providers import Providers
from worker.supervisor.publisher import Publisher
from worker.supervisor.queries import runs_page
from worker.supervisor.results import result_page
from worker.supervisor.run_requests import RunRequests
from worker.supervisor.searches import SearchRequest, searched
from worker.supervisor.shared_runs import SharedRuns
from worker.supervisor.starts import Starts
from worker.supervisor.status import StatusReport
from worker.supervisor.steps import StateRequest
from worker.supervisor.strategies import Strategies
from worker.supervisor.table import draining
from worker.telemetry import Logger

One = Callable[[str], Awaitable[dict[str, Any]]]
KILLED_SECONDS: Final = 5.0
"""How long a killed process may take to be gone; it takes milliseconds, unless its zygote is stopped or hangs."""


class Supervisor:
    """Serves requests. ``drained`` is set when a drain is done and the worker shall exit."""

    def __init__(
        self,
        *,
        settings: Settings,
        access: StateAccess,
        status: StatusReport,
        pool: ZygotePool,
        introspector: Introspector,
        judge: SchemaJudge,
        publisher: Publisher,
        providers: Providers,
        deliveries: Deliveries,
        sandbox: dict[str, Any],
        log: Logger,
    ) -> None:
        self._settings = settings
        self._access = access
        attaching = Attaching(introspector, access.schemas)
        self._runs = RunRequests(access, attaching, sandbox["level"], log)
        self._shared = SharedRuns(access, self._runs)
        self._strategies = Strategies(access, self._runs, self._shared)
        self._courses = Courses(access, settings.live_run_limit, log)
        self._expiry = Expiry(access.stores.durable, self._runs.delete_unless_live, log)
        starts = Starts(access.births, judge, attaching)
        self._profiles = ProfileRequests(
            *(access, self._runs), starts=starts, courses=self._courses, expiry=self._expiry, log=log
        )
        self._table = access.table
        self._stores = access.stores
        self._births = access.births
        self._worker_status = status.build
        self._pool = pool
        self._introspector = introspector
        self._publisher = publisher
        self._providers = providers
        self._deliveries = deliveries
        self._sandbox = sandbox
        self._log = log
        self._started = asyncio.get_running_loop().time()
        self._flights = Flights(self._serve, self._serve_at_once, limit=settings.max_requests, log=log)
        self.draining = False
        self.drained = asyncio.Event()

    def submit(self, request: Request, peer: Peer) -> None:
        """Take one decoded request; its ``peer`` gets the reply map, once."""
        if isinstance(request, ServeFunctions | AnswerFunction):
            peer.answer(self._heard(request, peer))
        elif self.draining and not isinstance(request, ALWAYS_SERVED):
            peer.answer(failure(request.request_id, draining()))
        elif request.project is not None and request.project not in self._births.catalogs:
            self._log.warning(
                "project not served",
                request_id=request.request_id,
                project=request.project,
                served=sorted(self._births.catalogs.roots),
            )
            peer.answer(failure(request.request_id, not_served(request.project)))
        else:
            self._flights.submit(request, peer.answer)

    def _heard(self, request: ServeFunctions | AnswerFunction, peer: Peer) -> dict[str, Any]:
        """The reply to a provider. It waits for nothing, also in a drain: what runs still do may need it."""
        try:
            result: dict[str, Any] | None = None
            if isinstance(request, ServeFunctions):
                result = self._providers.serve(request, peer)
            else:
                self._providers.answer(request, peer)
        except WorkerError as error:
            return failure(request.request_id, error)
        return {"version": 1, "request_id": request.request_id, "ok": True, "result": result}

    async def drain(self, grace_seconds: float, request_id: str | None = None) -> int:
        """Evict all runs, each after its current request, at most ``grace_seconds`` long; refuse new ones.

        Returns how many runs there were.
        """
        began, first, self.draining = asyncio.get_running_loop().time(), not self.draining, True
        await self.leave()
        self._introspector.abandon(draining())
        self._births.environments.abandon(draining())
        count = len(self._table.hosts())
        log = self._log if request_id is None else self._log.bind(request_id=request_id)
        if first:
            log.info("worker draining", runs=count, grace_seconds=grace_seconds)
        try:
            await asyncio.wait_for(self._table.evict_all("drain"), grace_seconds)
        except TimeoutError:
            message = "the worker was stopped before the request was done; its process was ended"
            for host in self._table.hosts():
                host.abandon(WorkerError(ErrorCode.DRAINING, message, applied="no"))
            await self._end_all()
        if first:
            duration = round(asyncio.get_running_loop().time() - began, 4)
            log.info("worker drained", runs=count, duration_seconds=duration)
        return count

    async def _end_all(self) -> None:
        """Wait for the processes that were killed; a zygote that does not report their end is killed too."""
        try:
            await asyncio.wait_for(self._table.evict_all("drain"), KILLED_SECONDS)
        except TimeoutError:
            self._log.error("run processes do not end; ending their zygotes", seconds=KILLED_SECONDS)
            await self._pool.close()
            await self._table.evict_all("drain")

    async def resume(self) -> None:
        """Take up what the worker before this one left, and look after what comes of itself."""
        await self._courses.resume()
        self._expiry.start()

    async def leave(self) -> None:
        """Leave what comes of itself to the next worker; idempotent."""
        await self._courses.close()
        await self._expiry.close()

    async def settle(self) -> None:
        """Wait until every request under way is answered."""
        await self._flights.join()

    # Dispatch

    def _serve_at_once(self, flight: Flight, done: Callable[[Come], None]) -> bool:
        request = flight.request
        if isinstance(request, CallOperation | ReadVariables | WriteVariables | PerformActions):
            return self._access.serve_at_once(flight, request, done)
        if isinstance(request, Ping):
            done(lambda: {"result": self._pong()})
            return True
        return False

    async def _serve(self, flight: Flight) -> dict[str, Any]:
        request: ServedRequest = flight.request  # type: ignore[assignment]  # decoded from that very union
        match request:
            case Ping():
                return {"result": self._pong()}
            case WorkerStatus():
                return {"result": await self.status(request.project)}
            case Drain():
                return await self._drain(request)
            case QueryRuns() | SearchRuns() | FindRuns() | FacetRuns():
                return {"result": await self._query(request)}
            case CreateRun() | GetRun() | RestoreRun() | RewindRun() | CopyRequest():
                return await self._runs.serve(flight, request)
            case (
                CreateSingularRun()
                | GetSingularRunKey()
                | OpenWorldRun()
                | CloseWorldRun()
                | AssignWorldRun()
            ):
                return await self._shared.serve(flight, request)
            case GetRunWithStrategy():
                return await self._strategies.serve(flight, request)
            case StartRun() | GetProfile() | UpdateProfile() | DeleteRun() | DecideAction():
                return await self._profiles.serve(flight, request)
            case ReadHistory():
                return {"result": await self._history(request)}
            case ListModels() | IntrospectModel() | IntrospectRun():
                return await self._offered(flight, request)
            case ReadEvents() | ReadResult() | ReadTraces():
                return {"result": await self._kept(request)}
            case ListDeliveries() | Redeliver():
                return await self._told(flight, request)
            case _:
                return await self._serve_many(flight, request)

    async def _offered(
        self, flight: Flight, request: ListModels | IntrospectModel | IntrospectRun
    ) -> dict[str, Any]:
        if isinstance(request, ListModels):
            models = await self._access.births.catalogs.of(request.project_name).listed()
            return {"result": models.model_dump()}
        if isinstance(request, IntrospectModel):
            return await self._introspector.of_model(request, flight)
        _, record = await self._access.locate(request, request.run_key)
        return await self._introspector.of_run(request, record, flight)

    async def _told(self, flight: Flight, request: ListDeliveries | Redeliver) -> dict[str, Any]:
        if isinstance(request, Redeliver):
            return await self._deliveries.redeliver(flight, request)
        return {"result": await self._deliveries.list(request)}

    async def _serve_many(self, flight: Flight, request: ManyRunRequest) -> dict[str, Any]:
        """Requests that name one run or many; many are served side by side."""
        one = self._for_one(flight, request)
        if request.run_key is not None:
            return await one(request.run_key)
        run_keys = list(dict.fromkeys(request.run_keys or ()))
        room = Fitting(self._settings.max_message_bytes, len(run_keys))
        results = await asyncio.gather(*(self._isolated(one, run_key, room) for run_key in run_keys))
        return {"result": dict(zip(run_keys, results, strict=True))}

    def _for_one(self, flight: Flight, request: ManyRunRequest) -> One:
        match request:
            case CallOperation() | ReadVariables() | WriteVariables() | PerformActions():
                check_ritual(request)
                state: StateRequest = request
                return lambda run_key: self._state(flight, state, run_key)
            case UpdateRun():
                return lambda run_key: self._runs.update(flight, request, run_key)
            case EvictRun():
                return lambda run_key: self._runs.evict(flight, run_key)
            case ReadMetadata():
                return lambda run_key: read_metadata(self._access, request, run_key)
            case UpdateMetadata():
                return lambda run_key: update_metadata(self._access, flight, request, run_key)
            case _:
                raise InternalError(f"no handler for {type(request).__name__}")

    async def _isolated(self, one: One, run_key: str, room: Fitting) -> dict[str, Any]:
        try:
            return room.fit({"ok": True, "result": (await one(run_key))["result"]})
        except WorkerError as error:
            return room.fit({"ok": False, "error": error.to_wire()})

    async def _state(self, flight: Flight, request: StateRequest, run_key: str) -> dict[str, Any]:
        return (await self._access.serve(flight, request, run_key)).body()

    async def _history(self, request: ReadHistory) -> dict[str, Any]:
        host, record = await self._access.locate(request, request.run_key)
        hidden = self._access.redaction(request, host, record)
        room = self._settings.max_message_bytes
        return await history_page(self._stores.of(record.run_key), request, room, record.seq, hidden)

    async def _kept(self, request: ReadEvents | ReadResult | ReadTraces) -> dict[str, Any]:
        host, record = await self._access.locate(request, request.run_key)
        hidden, room = self._access.redaction(request, host, record), self._settings.max_message_bytes
        match request:
            case ReadEvents():
                return await events_page(self._stores.with_events_of(record.run_key), request, room, hidden)
            case ReadResult():
                return await result_page(self._stores.of(record.run_key), request, hidden, room)
            case ReadTraces():
                return await traces_page(self._stores.of(record.run_key), request, room, record.seq)

    async def ask(self, request: Request) -> dict[str, Any]:
        """Serve a request of the worker's own, as if a client had sent it; the reply map."""
        told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def answer(reply: dict[str, Any]) -> None:
            if not told.done():
                told.set_result(reply)

        if self.draining:
            answer(failure(request.request_id, draining()))
        else:
            self._flights.submit(request, answer)
        return await told

    # The worker itself

    def _pong(self) -> dict[str, Any]:
        uptime = asyncio.get_running_loop().time() - self._started
        return {"worker_id": self._settings.worker_id, "version": VERSION, "uptime_seconds": round(uptime, 3)}

    async def status(self, project: str | None = None, *, brief: bool = False) -> dict[str, Any]:
        """What ``worker_status`` answers; ``brief``: without what is looked up on disk."""
        return {
            **self._pong(),
            **await self._worker_status(len(self._flights), project, brief=brief),
            "requests": len(self._flights),
            "courses": self._courses.status(),
            "draining": self.draining,
            "sandbox": self._sandbox,
            "events": self._publisher.status(),
            "functions": self._providers.status(),
            "deliveries": await self._deliveries.status(),
            "pid": os.getpid(),
        }

    async def _drain(self, request: Drain) -> dict[str, Any]:
        grace = self._settings.drain_grace_seconds if request.grace_seconds is None else request.grace_seconds
        evicted = await self.drain(grace, request.request_id)
        self.drained.set()
        return {"result": {"evicted": evicted}}

    def _is_live(self, run_key: str) -> bool:
        host = self._table.get(run_key)
        return host is not None and host.live

    async def _query(self, request: QueryRuns | SearchRequest) -> dict[str, Any]:
        if not isinstance(request, QueryRuns):
            return await searched(self._stores.durable, request, self._is_live, self._settings)

        def view(found: FoundRun) -> dict[str, Any]:
            return self._runs.view(found.run, self._table.get(found.run.run_key), found.status)

        guards = partial(guards_in_file, self._births.catalogs.of(request.project_name))
        return await runs_page(self._stores.durable, request, view, guards, self._settings)
