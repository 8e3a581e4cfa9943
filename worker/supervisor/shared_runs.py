"""Runs that are shared by name: the singular run of a project, and the run of each world.

Who looks for one, and who changes which it is, passes the gate of its name: so a name gets one new run, however
many ask at once. What is done with a run that was found is done behind the gate of that run alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from protocol.entities import Address, Scope, ScopeBoundary
from protocol.errors import ErrorCode
from protocol.messages import CreateRun, NewRun
from protocol.sharing import (
    AssignWorldRun,
    CloseWorldRun,
    CreateSingularRun,
    GetSingularRunKey,
    OpenWorldRun,
)
from worker.channel import pack
from worker.clock import now_us
from worker.errors import RequestError
from worker.log.base import Binding, StoredRequest
from worker.runs.record import RunRecord
from worker.supervisor.access import StateAccess, stored_answer
from worker.supervisor.finding import Body, creation_of, found_or_created
from worker.supervisor.flights import Flight
from worker.supervisor.run_requests import RunRequests
from worker.waiting import Gates

SharedRequest = CreateSingularRun | GetSingularRunKey | OpenWorldRun | CloseWorldRun | AssignWorldRun
Use = Callable[[Flight, str], Awaitable[Body]]


class SharedRuns:
    """Serves requests for them; one object for the whole worker."""

    def __init__(self, access: StateAccess, runs: RunRequests) -> None:
        self._access = access
        self._runs = runs
        self._stores = access.stores
        self._gates = Gates()

    async def serve(self, flight: Flight, request: SharedRequest) -> Body:
        """The body of the reply.

        Raises:
            WorkerError: PROJECT_NOT_FOUND, and as the request's own method.
        """
        if not isinstance(request, AssignWorldRun):  # the run that it names has a project
            self._access.births.catalogs.of(request.project_name)
        match request:
            case CreateSingularRun():
                return await self._singular(flight, request)
            case GetSingularRunKey():
                return {"result": await self._stores.bound_run(Binding(request.project_name))}
            case OpenWorldRun():
                return await self.open_world(flight, request, request.world_key)
            case CloseWorldRun():
                return await self._close_world(flight, request)
            case AssignWorldRun():
                return await self._assign_world(flight, request)

    async def _singular(self, flight: Flight, request: CreateSingularRun) -> Body:
        creation = creation_of(request, morphology="SINGULAR")
        return await self._open(flight, Binding(request.project_name), creation, self._runs.as_it_is)

    async def open_world(self, flight: Flight, request: NewRun, world_key: str) -> Body:
        """The run of a world, in memory; a new one, as ``request`` describes it, where the world has none.

        Raises:
            RequestError: INVALID_REQUEST for the address of another world; what creating or restoring a run raises.
        """
        address = request.address or Address()
        if address.world_key not in (None, world_key):
            message = (
                f"address.world_key: it must be {world_key}, the world that is asked for, or be left out"
            )
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path="address.world_key")
        creation = creation_of(
            request,
            scope=Scope(scope_boundary=ScopeBoundary.WORLD, scope_key=world_key),
            address=address.model_copy(update={"world_key": world_key}),
        )
        return await self._open(flight, Binding(request.project_name, world_key), creation, self._in_memory)

    async def _in_memory(self, flight: Flight, run_key: str) -> Body:
        body = await self._runs.into_memory(flight, run_key)
        await self._runs.answered_with(flight, run_key, lambda _: body["result"])
        return body

    async def _open(self, flight: Flight, binding: Binding, creation: CreateRun, use: Use) -> Body:
        return await found_or_created(
            self._access,
            flight,
            self._gates.of(binding),
            find=lambda: self._stores.bound_run(binding),
            use=use,
            create=lambda: self._runs.create(flight, creation, binding),
        )

    async def _close_world(self, flight: Flight, request: CloseWorldRun) -> Body:
        """Two writes, of which only the second stores the request: a repetition finishes what a crash interrupts."""
        binding = Binding(request.project_name, request.world_key)
        async with self._gates.of(binding):
            stored = self._access.stored(flight, None)
            if stored is not None:
                return stored_answer(stored)
            flight.check()
            run_key = await self._stores.bound_run(binding)
            if run_key is not None:
                await self._close(flight, run_key)
            done = StoredRequest(request.request_id, run_key or "", flight.digest, result=pack(None))
            await self._stores.durable.unbind(binding, done)
            await self._stores.ephemeral.unbind(binding)
        return {"result": None}

    async def _close(self, flight: Flight, run_key: str) -> None:
        try:
            await self._runs.close(flight, run_key)
        except RequestError as error:
            # An ephemeral run ended with its process.
            if error.code is not ErrorCode.RUN_NOT_FOUND:
                raise

    async def _assign_world(self, flight: Flight, request: AssignWorldRun) -> Body:
        """Who may not change the run that a world has may not put another one in its place."""
        stored = self._access.stored(flight, None)
        if stored is not None:
            return stored_answer(stored)
        _, record = await self._access.locate(request, request.run_key)
        binding = Binding(record.project, request.world_key)
        async with self._gates.of(binding):
            flight.check()
            current = await self._stores.bound_run(binding)
            if current is not None:
                await self._access.locate(request, current)
            await self._bind(flight, binding, request.run_key)
            await self._stores.ephemeral.unbind(binding)
        return {"result": None}

    async def _bind(self, flight: Flight, binding: Binding, run_key: str) -> None:
        def edit(row: RunRecord) -> RunRecord:
            address = row.address or {}
            if "world_key" in address:
                return row
            return replace(
                row, address={**address, "world_key": binding.world_key}, last_modified_us=now_us()
            )

        async with self._access.table.gate(run_key):
            host, _ = await self._access.locate(flight.request, run_key)
            if self._stores.is_ephemeral(run_key):
                message = (
                    f"run {run_key} is ephemeral, and a world keeps its run; let open_world_run make one"
                )
                raise RequestError(ErrorCode.RUN_EPHEMERAL, message, run_key=run_key)
            stored = StoredRequest(flight.request.request_id, run_key, flight.digest, result=pack(None))
            row = await self._stores.durable.bind(binding, run_key, edit, stored)
            if host is not None:
                changed = max(host.record.last_modified_us, row.last_modified_us)
                host.record = replace(host.record, address=row.address, last_modified_us=changed)
