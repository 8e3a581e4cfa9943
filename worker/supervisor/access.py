"""Requests to the state of a run: operations, variables, actions; by process or archive, as rituals say."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack

from protocol.entities import Ritual
from protocol.errors import ErrorCode
from protocol.messages import (
    PerformActions,
    ReadVariables,
    Request,
    RitualRequest,
    WriteVariables,
)
from worker.channel import pack, unpack
from worker.clock import now_us
from worker.errors import RequestError, WorkerError
from worker.log.base import StoredRequest
from worker.runs.contexts import ModelContext
from worker.runs.guards import GuardViolation
from worker.runs.record import RunRecord
from worker.runs.rituals import POLICIES, Access, route
from worker.runs.rules import Refusal, judge
from worker.runs.stimuli import Cause, StepKind, Work
from worker.settings import Settings
from worker.supervisor import answers, permission
from worker.supervisor.births import Births
from worker.supervisor.flights import Come, Flight, reused
from worker.supervisor.guarding import guarded, guards_in_file
from worker.supervisor.holds import admit
from worker.supervisor.host import ReroutedError, RunHost
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.redaction import Redaction
from worker.supervisor.results import performed, repeated
from worker.supervisor.schemas import Schemas
from worker.supervisor.steps import StateRequest, names_read, needs_process, result_of, steps_of
from worker.supervisor.table import RunTable, Stores, never_came_up
from worker.supervisor.under_way import UnderWay
from worker.telemetry import Logger


@dataclass(frozen=True, slots=True)
class Served:
    """What a request to one run came to; ``run`` says how it was served."""

    result: Any
    run: dict[str, Any]
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """The part of a reply that this makes up."""
        body = {"result": self.result, "run": self.run}
        return {**body, "warnings": self.warnings} if self.warnings else body


@dataclass(frozen=True, slots=True)
class StateAccess:
    """Routes state requests; one object for the whole worker."""

    table: RunTable
    stores: Stores
    births: Births
    settings: Settings
    under_way: UnderWay
    schemas: Schemas
    log: Logger

    def serve_at_once(self, flight: Flight, request: StateRequest, done: Callable[[Come], None]) -> bool:
        """Hand a new request for one run to its process, where that is in memory and nothing stands before it.

        ``done`` is told of the end once. False: the request is to be served the long way, nothing was done.
        """
        host = None if request.run_key is None else self.table.at_hand(request.run_key)
        if host is None or host.incarnation.store.in_outage or self._is_known(request):
            return False
        if (
            host.run_key in self.under_way
            or host.teller.pending is not None
            or host.incarnation.context.holds_calls
        ):
            return False
        permission.check(request, host.head.attributes, self.settings)
        ritual = self._ritual_of(request, host.head.attributes.project)
        work = self._work(flight, request, host.incarnation, host.head.attributes, ritual)

        def ended(error: Exception | None) -> None:
            done(lambda: self._come(request, host, work, ritual, error))

        flight.begin(host, work, ended)
        return True

    def _is_known(self, request: StateRequest) -> bool:
        return request.changes_state and bool(self._find_request(request.request_id))

    def _come(
        self, request: StateRequest, host: RunHost, work: Work, ritual: Ritual, error: Exception | None
    ) -> dict[str, Any]:
        if error is not None:
            raise error
        return self._performed(request, host, work, ritual, was_live=True).body()

    def _work(
        self,
        flight: Flight,
        request: StateRequest,
        incarnation: Incarnation,
        record: RunRecord,
        ritual: Ritual,
    ) -> Work:
        actor, context = request.actor, incarnation.context
        steps = steps_of(request, context, self.settings)
        is_initial = flight.of_course and not flight.is_carried
        if context.run.result is not None and is_initial:
            steps = tuple(
                replace(step, is_result=False) for step in steps
            )  # the course itself says what its result is
        refusal = judge(incarnation.rules, context.run.private, steps, own=is_initial)
        if refusal is not None:
            raise self._refuse(flight, record, refusal)
        steps = guarded(request, steps, context.guards, record)
        if steps[0].refusal is not None:  # nothing needs to be started, or ended, for that
            raise _violated(request, steps[0].refusal)
        return Work(
            request_id=request.request_id,
            steps=steps,
            actor=None if actor is None else pack(actor.model_dump(mode="json", exclude_none=True)),
            digest=flight.digest,
            ends=POLICIES[ritual].ends,
            why=None if isinstance(request, ReadVariables) else request.reasoning,
            cause=Cause.INITIAL if is_initial else Cause.CALL,
            asked_us=now_us(),
        )

    def _refuse(self, flight: Flight, record: RunRecord, refusal: Refusal) -> RequestError:
        """The refusal of a request as a whole; who calls what a run was not given is told of to those who look after it."""
        if refusal.code is ErrorCode.OPERATION_NOT_ATTACHED:
            name = {"operation": refusal.name} if refusal.name.isidentifier() else {}
            request_id = flight.request.request_id
            self.log.warning(
                "operation not attached",
                run_key=record.run_key,
                seq=record.seq,
                request_id=request_id,
                **name,
            )
        return RequestError(refusal.code, refusal.message, **refusal.information)

    async def _judge_arguments(self, work: Work, context: ModelContext) -> None:
        for index, step in enumerate(step for step in work.steps if not step.is_look):
            schema = context.arguments_schema(step.name) if step.kind is StepKind.EXECUTE else None
            if schema is not None:
                arguments = unpack(step.action)["arguments"]
                await self.schemas.check_arguments(step.name, index, schema, arguments)

    async def serve(self, flight: Flight, request: StateRequest, run_key: str) -> Served:
        """Serve one run's part of a request.

        Raises:
            WorkerError: as wire.md says for the request; the run's state is then what the error tells.
        """
        needs = needs_process(request)
        await self.under_way.settled(flight, run_key)
        while True:
            async with self.table.gate(run_key):
                stored = self.stored(flight, run_key)
                if stored is not None:
                    return await self._repeat(request, stored, whole=flight.of_course)
                await self.table.settled(run_key)
                host, record = await self.locate(request, run_key)
                ritual = self._ritual_of(request, record.project)
                access = route(ritual, live=host is not None, closed=record.closed, needs_process=needs)
                if access is Access.ARCHIVE:
                    return await self._from_archive(request, record, ritual)
                if access is not Access.PROCESS:
                    raise _refused(access, record, ritual)
                was_live = host is not None and host.live
                incarnation = await self.births.restore(record, flight) if host is None else host.incarnation
                work = self._work(flight, request, incarnation, record, ritual)
                if needs:
                    await self._judge_arguments(work, incarnation.context)
                    try:
                        await admit(flight, work, host, incarnation)
                    except ReroutedError:
                        continue
                if host is None:
                    host = await self.table.start(incarnation, flight.check)
                if host.incarnation.store.in_outage and any(step.recorded for step in work.steps):
                    # What cannot be recorded must not be performed: it would cost the run its process.
                    await host.incarnation.store.check()
                performed = flight.performing(host, work)
            try:
                await performed
            except ReroutedError:
                continue
            except WorkerError as error:
                fallback = route(ritual, live=False, closed=record.closed, needs_process=needs)
                if fallback is Access.ARCHIVE and never_came_up(host, error):
                    continue
                raise
            return self._performed(request, host, work, ritual, was_live=was_live)

    def _ritual_of(self, request: RitualRequest, project: str) -> Ritual:
        """The ritual that a request is served with for a run of a project."""
        if request.run_key is None:
            return Ritual.EXORCISE
        return request.ritual or self.settings.of_project(project).default_ritual

    async def locate(self, request: Request, run_key: str) -> tuple[RunHost | None, RunRecord]:
        """The host, if the run is in memory, coming into it or leaving it, and the row of a run.

        Raises:
            RequestError: RUN_NOT_FOUND, PERMIT_VIOLATION.
        """
        host = self.table.get(run_key)
        record = host.record if host is not None else await self.stores.get(run_key)
        self.permit(request, record)
        return host, record

    def permit(self, request: Request, record: RunRecord) -> None:
        """Whether a request may do what it asks of a run; raises as ``locate``."""
        permission.check(request, record, self.settings)

    def redaction(self, request: Request, host: RunHost | None, record: RunRecord) -> Redaction:
        """What the actor of a request does not see of what is kept of a run.

        Raises:
            RequestError: INVALID_CONTEXT; guards that cannot be read hold everything.
        """
        if host is not None:
            return Redaction(request.actor, record, lambda: host.incarnation.context.guards)
        return Redaction(
            request.actor,
            record,
            lambda: guards_in_file(self.births.catalogs.of(record.project), record.model_file),
        )

    def stored(self, flight: Flight, run_key: str | None) -> StoredRequest | None:
        """What is recorded for this request (and this run, where it names one).

        Raises:
            RequestError: REQUEST_ID_REUSED.
        """
        if not flight.request.changes_state:
            return None
        request_id = flight.request.request_id
        found = self._find_request(request_id)
        if (
            flight.of_course
        ):  # its ids can be foreseen; who takes one for another run keeps no course from going on
            found = [row for row in found if row.run_key == run_key]
        for row in found:
            if row.digest != flight.digest:
                raise reused(request_id)
        return next((row for row in found if run_key is None or row.run_key == run_key), None)

    def _find_request(self, request_id: str) -> list[StoredRequest]:
        return self.stores.durable.find_request(request_id) + self.stores.ephemeral.find_request(request_id)

    async def _repeat(self, request: StateRequest, stored: StoredRequest, *, whole: bool) -> Served:
        record = await self.stores.get(stored.run_key)
        ritual = self._ritual_of(request, record.project)
        outcomes = await self.stores.of(stored.run_key).read_outcomes(stored)
        shown: answers.Shown = answers.as_it_is
        if not whole:
            store, inline = self.stores.of(stored.run_key), self.settings.inline_result_bytes
            shown = await repeated(store, stored, outcomes, inline)
        run = {
            "run_key": stored.run_key,
            "served_from": "archive",
            "ritual": ritual.value,
            "seq": stored.last_seq,
        }
        return Served(result_of(request, outcomes, shown), run)

    def _performed(
        self, request: StateRequest, host: RunHost, work: Work, ritual: Ritual, *, was_live: bool
    ) -> Served:
        run = {
            "run_key": host.run_key,
            "served_from": "memory" if was_live else "restored",
            "ritual": ritual.value,
            "seq": host.seq,
        }
        warnings = [warning for outcome in work.outcomes for warning in outcome.warnings]
        if not was_live:
            warnings = [*host.warnings, *warnings]
        shown = performed(work, host.run_key, host.incarnation.profile, self.settings.inline_result_bytes)
        return Served(result_of(request, answers.outcomes_of(work), shown), run, warnings)

    async def _from_archive(self, request: StateRequest, record: RunRecord, ritual: Ritual) -> Served:
        names = names_read(request)
        guards = guards_in_file(self.births.catalogs.of(record.project), record.model_file)
        steps = guarded(request, steps_of(request, ModelContext(), self.settings), guards, record)
        refusal = steps[-1].refusal
        if refusal is not None:
            names = names[: len(steps) - 1]
        values = await self.stores.of(record.run_key).read_variables(record.run_key, names)
        decoded = {name: msgpack.unpackb(value, raw=False) for name, value in values.items()}
        missing = [name for name in dict.fromkeys(names) if name not in decoded]
        result: Any = {name: decoded.get(name) for name in names}
        if isinstance(request, PerformActions):
            result = [{"kind": "get", "name": name, "value": decoded.get(name)} for name in names]
        if missing and not (isinstance(request, ReadVariables) and request.ignorable):
            error = _unrecorded(record.run_key, missing)
            if isinstance(request, PerformActions):
                index = names.index(missing[0])
                error.information.update(index=index, completed=result[:index])
            raise error
        if refusal is not None:
            raise _violated(request, refusal, result)
        run = {"run_key": record.run_key, "served_from": "archive", "ritual": ritual.value, "seq": record.seq}
        return Served(result, run)


def check_ritual(request: RitualRequest) -> None:
    """Refuse a ritual that a request to many runs cannot be served with.

    Raises:
        RequestError: RITUAL_NOT_ALLOWED.
    """
    if request.run_key is None and request.ritual not in (None, Ritual.EXORCISE):
        raise RequestError(
            ErrorCode.RITUAL_NOT_ALLOWED,
            f"a request to many runs is served with EXORCISE; leave {request.ritual} out, or ask run by run",
            ritual=str(request.ritual),
        )


def _violated(
    request: StateRequest, violation: GuardViolation, completed: list[dict[str, Any]] | None = None
) -> RequestError:
    """A guard's refusal of a request; of its list of actions, those ``completed`` came before."""
    information = violation.information
    if isinstance(request, PerformActions | WriteVariables):
        information |= {"index": len(completed or ()), "completed": completed or []}
    return RequestError(ErrorCode.GUARD_VIOLATION, violation.message, **information)


def _unrecorded(run_key: str, missing: list[str]) -> RequestError:
    return RequestError(
        ErrorCode.UNRECORDED_VARIABLE,
        f"run {run_key} is not in memory and {', '.join(missing[:20])} not in its archive; record "
        "the variable in the model, or read it with the ritual REVIVE",
        run_key=run_key,
        names=missing,
    )


def _refused(access: Access, record: RunRecord, ritual: Ritual) -> RequestError:
    if access is Access.CLOSED:
        return closed(record.run_key)
    return RequestError(
        ErrorCode.RUN_NOT_LIVE,
        f"run {record.run_key} is not in memory and the ritual {ritual} does not bring it back; restore it, or "
        "use REANIMATE or REVIVE",
        run_key=record.run_key,
        ritual=ritual.value,
    )


def closed(run_key: str) -> RequestError:
    """The refusal to start a run that was closed."""
    return RequestError(
        ErrorCode.RUN_CLOSED,
        f"run {run_key} is closed; its archive can be read, a clone can go on",
        run_key=run_key,
    )


def stored_answer(stored: StoredRequest) -> dict[str, Any]:
    """The answer to a repeated request that was stored with its result."""
    return {"result": msgpack.unpackb(stored.result or pack(None), raw=False)}
