"""get_run_with_strategy: a run that fits what is asked for, or a new one.

A run is reused where it is the newest of those that a new one would stand beside: of the same project, scope
(its user among it) and model, neither closed nor hidden.
"""

from typing import Final

from protocol.entities import Scope, ScopeBoundary
from protocol.errors import ErrorCode
from protocol.messages import CreateRun
from protocol.sharing import GetRunWithStrategy
from worker.errors import RequestError
from worker.runs.comparison import Literal, Operator
from worker.runs.filters import parse_filter
from worker.runs.query import Every, Node, RunQuery, SortKey, Source, Test
from worker.supervisor.access import StateAccess
from worker.supervisor.finding import Body, creation_of, found_or_created
from worker.supervisor.flights import Flight
from worker.supervisor.records import scope_of
from worker.supervisor.run_requests import RunRequests
from worker.supervisor.shared_runs import SharedRuns
from worker.waiting import Gates

REUSABLE: Final = parse_filter("run.hidden=false;run.closed=false;run.morphology=MANY")
NO_USER: Final = parse_filter("run.user_key=null")
NEWEST_FIRST: Final = (SortKey("created", descending=True),)
EPHEMERAL_LOOKED_AT: Final = 1000
"""Ephemeral runs among which one is looked for; shadows of stored runs stand between them."""


class Strategies:
    """Serves the request; one object for the whole worker."""

    def __init__(self, access: StateAccess, runs: RunRequests, shared: SharedRuns) -> None:
        self._access = access
        self._runs = runs
        self._shared = shared
        self._gates = Gates()

    async def serve(self, flight: Flight, request: GetRunWithStrategy) -> Body:
        """The body of the reply.

        Raises:
            WorkerError: INVALID_REQUEST where the strategy needs more than the request says (its ``reason`` is
                NO_TRACKING_KEY or NO_WORLD_FOR_USER); PERMIT_VIOLATION for a run that was found; what creating one
                raises.
        """
        match request.strategy:
            case "multiplayer":
                return await self._shared.open_world(flight, request, world_of(request))
            case "reuse-by-tracking-key" if request.tracking_key is None:
                message = "tracking_key: reuse-by-tracking-key looks for the run that has it"
                raise _refused(message, "tracking_key", "NO_TRACKING_KEY")
            case "reuse-never":
                return await self._runs.create(flight, creation_of(request, scope=request.scope))
            case _:
                return await self._reuse(flight, request)

    async def _reuse(self, flight: Flight, request: GetRunWithStrategy) -> Body:
        creation = creation_of(request, scope=request.scope)
        model = await self._access.births.catalogs.of(request.project_name).read(request.model_file)
        by_tracking_key = request.strategy == "reuse-by-tracking-key"
        tracking_key = request.tracking_key if by_tracking_key else None
        query = alike(creation, model.name, tracking_key)
        return await found_or_created(
            self._access,
            flight,
            self._gates.of((query, request.ephemeral)),
            find=lambda: self._newest(query, ephemeral=request.ephemeral),
            use=self._runs.as_it_is,
            create=lambda: self._runs.create(flight, creation),
        )

    async def _newest(self, query: RunQuery, *, ephemeral: bool) -> str | None:
        """Who asks for an ephemeral run gets one, and nobody else does."""
        stores = self._access.stores
        page = await (stores.ephemeral if ephemeral else stores.durable).query(query)
        keys = (found.run.run_key for found in page.found)
        return next((key for key in keys if stores.is_ephemeral(key) or not ephemeral), None)


def alike(creation: CreateRun, model_file: str, tracking_key: str | None) -> RunQuery:
    """The runs that a new one would stand beside, newest first; of them those with ``tracking_key``, where given."""
    scope = scope_of(creation)
    where: list[Node] = [
        REUSABLE,
        _is("scope_boundary", scope.scope_boundary.value),
        _is("scope_key", scope.scope_key),
        NO_USER if scope.user_key is None else _is("user_key", scope.user_key),
        _is("model_file", model_file),
    ]
    if tracking_key is not None:
        where.append(_is("tracking_key", tracking_key))
    count = EPHEMERAL_LOOKED_AT if creation.ephemeral else 1
    return RunQuery(Every(tuple(where)), NEWEST_FIRST, count=count, project=creation.project_name)


def world_of(request: GetRunWithStrategy) -> str:
    """The world that a multiplayer run belongs to: that of the scope, else that of the actor.

    Raises:
        RequestError: INVALID_REQUEST; ``reason`` NO_WORLD_FOR_USER where there is none.
    """
    scope: Scope | None = request.scope
    if scope is not None and scope.scope_boundary is ScopeBoundary.WORLD:
        return scope.scope_key
    world_key = None if request.actor is None else request.actor.world_key
    if world_key is None:
        message = "actor.world_key: multiplayer needs the actor's world, or a scope of boundary WORLD"
        raise _refused(message, "actor.world_key", "NO_WORLD_FOR_USER")
    if scope is not None:
        message = f"scope: the run of world {world_key} has the scope WORLD; leave the other one out"
        raise _refused(message, "scope", None)
    return world_key


def _is(attribute: str, value: str) -> Test:
    return Test(Source.RUN, attribute, Operator.EQUAL, Literal(value))


def _refused(message: str, path: str, reason: str | None) -> RequestError:
    information = {} if reason is None else {"reason": reason}
    return RequestError(ErrorCode.INVALID_REQUEST, message, path=path, **information)
