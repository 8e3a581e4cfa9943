"""How runs begin that have no history yet: what ``create_run`` asks for, and those that were started."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from protocol.entities import RunStatus
from protocol.messages import CreateRun
from worker.channel import pack
from worker.clock import now_us
from worker.log.base import Append, Binding, Creation, NewEvent, Store, StoredRequest
from worker.process.environment import Environment
from worker.runs.history import LogEntry, ReplayPlan
from worker.runs.profile import RunProfile, StatusChange, default_profile
from worker.runs.record import RunRecord
from worker.runs.stimuli import Origin
from worker.settings import Settings
from worker.supervisor.catalogs import Catalogs
from worker.supervisor.contexts import Contexts, judge_contexts
from worker.supervisor.environments import Environments
from worker.supervisor.events import Announcer
from worker.supervisor.flights import Flight
from worker.supervisor.guarding import guard_presets
from worker.supervisor.histories import no_pages
from worker.supervisor.incarnation import Commit, Incarnation
from worker.supervisor.models import ModelSource
from worker.supervisor.records import boot_entry, new_record
from worker.supervisor.table import Stores
from worker.supervisor.views import run_view

Actor = dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What a run begins with; ``request_id``: of the request that its boot is recorded for."""

    model: ModelSource
    contexts: Contexts
    environment: Environment
    actor: Actor
    request_id: str


@dataclass(frozen=True, slots=True)
class NewRuns:
    """Builds their incarnations; nothing is started or written before a host executes them."""

    catalogs: Catalogs
    stores: Stores
    settings: Settings
    sandbox: str
    announcer: Announcer
    environments: Environments

    async def create(self, request: CreateRun, flight: Flight, binding: Binding | None = None) -> Incarnation:
        """A new run, that of ``binding`` where there is one.

        Raises:
            RequestError: PROJECT_NOT_FOUND, MODEL_NOT_FOUND, INVALID_CONTEXT, INVALID_REQUEST.
            WorkerError: as ``Environments.of``.
        """
        model = await self.catalogs.of(request.project_name).read(request.model_file)
        execution = request.execution_context or {}
        contexts = judge_contexts(model, request.model_context, execution, self.settings, self.sandbox)
        record = new_record(request, model, contexts.model, execution, is_shared=binding is not None)
        guard_presets(request, contexts.model, record.scope, execution)
        environment = await self.environments.of(model.context_name, contexts.model, flight)
        actor = None if request.actor is None else request.actor.model_dump(mode="json", exclude_none=True)
        store = self.stores.ephemeral if request.ephemeral else self.stores.durable
        beginning = _Beginning(model, contexts, environment, actor, request.request_id)
        profile = default_profile(record, environment=self.environments.name_of(contexts.model))

        async def begin() -> RunRecord:
            if record.ephemeral:
                self.stores.mark_ephemeral(record.run_key)
            return record

        async def commit(row: RunRecord, records: Mapping[str, bytes], answers: bytes | None) -> RunRecord:
            born = replace(row, seq=1)
            view = pack(self._view(born))
            stored = StoredRequest(request.request_id, born.run_key, flight.digest, 1, 1, view)
            await store.create(
                Creation(
                    *(born, (self._boot(born, beginning, answers),), records, request.metadata or {}),
                    stored,
                    self._created(born, records),
                    binding,
                    profile,
                )
            )
            return born

        return _incarnation(beginning, record, store, profile, begin=begin, commit=commit)

    async def first(
        self, record: RunRecord, profile: RunProfile, flight: Flight, then: RunStatus
    ) -> Incarnation:
        """The first incarnation of a run that was started; ``then``: its status once it has come up.

        Raises:
            WorkerError: as ``create``.
        """
        course = profile.course or {}
        model = await self.catalogs.of(record.project).read(record.model_file)
        override, execution = course.get("model_context"), record.execution_context
        contexts = judge_contexts(model, override, execution, self.settings, self.sandbox)
        environment = await self.environments.of(model.context_name, contexts.model, flight)
        store = self.stores.of(record.run_key)
        beginning = _Beginning(
            model, contexts, environment, course.get("actor"), course.get("request_id", "")
        )

        async def begin() -> RunRecord:
            await store.claim(record.run_key)
            # The model may be another by now than when the run was started; it is this one that begins it.
            version = contexts.model.modelVersion
            return await store.update(
                record.run_key,
                lambda row: replace(row, model_fingerprint=model.fingerprint, model_version=version),
            )

        async def commit(row: RunRecord, records: Mapping[str, bytes], answers: bytes | None) -> RunRecord:
            at_us = now_us()
            born = replace(row, seq=1, last_operated_us=at_us, last_modified_us=at_us)
            await store.append(
                Append(
                    run_key=row.run_key,
                    epoch=row.epoch,
                    head_seq=0,
                    entries=(self._boot(born, beginning, answers),),
                    at_us=at_us,
                    records=records,
                    events=self._created(born, records),
                    changes=(StatusChange(then, at_us),),
                )
            )
            return born

        return _incarnation(beginning, record, store, profile, begin=begin, commit=commit)

    def _boot(self, born: RunRecord, beginning: _Beginning, answers: bytes | None) -> LogEntry:
        boot = boot_entry(
            born,
            beginning.model,
            beginning.environment,
            beginning.actor,
            request_id=beginning.request_id,
            settings=self.settings,
        )
        return replace(boot, answers=answers)

    def _created(self, record: RunRecord, records: Mapping[str, bytes]) -> tuple[NewEvent, ...]:
        return self.announcer.created(record, self._view(record), records)

    def _view(self, record: RunRecord) -> dict[str, Any]:
        return run_view(record, RunStatus.READY, live=True, sandbox=self.sandbox)


def _incarnation(
    beginning: _Beginning,
    record: RunRecord,
    store: Store,
    profile: RunProfile,
    *,
    begin: Callable[[], Awaitable[RunRecord]],
    commit: Commit,
) -> Incarnation:
    contexts = beginning.contexts
    return Incarnation(
        origin=Origin.CREATE,
        record=record,
        store=store,
        model=beginning.model,
        environment=beginning.environment,
        context=contexts.model,
        raw_context=contexts.raw,
        execution=record.execution_context,
        presets=contexts.presets,
        mapped_files=contexts.mapped_files,
        plan=ReplayPlan(),
        begin=begin,
        pages=no_pages,
        commit=commit,
        event="onInitialized",
        ephemeral=record.ephemeral,
        strict_replay=True,
        boot_at_us=record.created_us,
        boot_actor=beginning.actor,
        warnings=contexts.warnings,
        boot_request_id=beginning.request_id,
        profile=profile,
    )
