"""How runs come into memory: what a create, a restore, a rewind and a clone begin with and make durable."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.messages import CopyRequest, RestoreRun, RewindRun
from worker.channel import pack
from worker.clock import now_us
from worker.errors import RequestError
from worker.log.base import Creation, NewEvent, Rewind, Store, StoredRequest
from worker.runs.assembly import filters_of, left_by, plan_assembly
from worker.runs.history import LogEntry, Replayable, ReplayPlan, as_of, replayable
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.runs.rules import narrowed
from worker.runs.stimuli import Origin
from worker.settings import Settings
from worker.supervisor.catalogs import Catalogs
from worker.supervisor.changes import judge_changes, policy
from worker.supervisor.contexts import Contexts, judge_contexts
from worker.supervisor.cuts import CutCommit, cut_pages, cut_plan, find_cut, refuse_filters
from worker.supervisor.environments import Environments
from worker.supervisor.events import Announcer
from worker.supervisor.flights import Flight
from worker.supervisor.guarding import guard_presets
from worker.supervisor.histories import pages, replay_pages, rewind_target
from worker.supervisor.incarnation import Commit, Incarnation
from worker.supervisor.models import ModelSource
from worker.supervisor.new_runs import NewRuns
from worker.supervisor.records import (
    cloned_profile,
    cloned_record,
    rewind_entry,
)
from worker.supervisor.shadows import copy_into_memory
from worker.supervisor.table import Stores
from worker.supervisor.views import run_view


@dataclass(frozen=True, slots=True)
class Births:
    """Builds incarnations; nothing is started or written before a host executes them."""

    catalogs: Catalogs
    stores: Stores
    settings: Settings
    sandbox: str
    announcer: Announcer
    environments: Environments

    @property
    def new(self) -> NewRuns:
        """How runs begin."""
        return NewRuns(
            *(self.catalogs, self.stores, self.settings, self.sandbox, self.announcer, self.environments)
        )

    async def restore(
        self, record: RunRecord, flight: Flight, request: RestoreRun | None = None
    ) -> Incarnation:
        """A run from its history, as its log has it, for ``request`` or whatever else needs it.

        Raises:
            RequestError: PROJECT_NOT_FOUND, MODEL_NOT_FOUND, INVALID_CONTEXT; ReplayError: the model changed and may not.
        """
        refuse_unborn(record)
        recast = request is not None and bool(request.execution_context)  # an empty one is none
        execution = (request and request.execution_context) or record.execution_context
        compare_after = record.seq if recast else record.compare_after_seq
        shadow = request is not None and request.ephemeral and not record.ephemeral
        store = self.stores.ephemeral if shadow else self.stores.of(record.run_key)

        async def commit(row: RunRecord, _records: Mapping[str, bytes], _answers: bytes | None) -> RunRecord:
            def edit(current: RunRecord) -> RunRecord:
                return replace(current, execution_context=execution, compare_after_seq=compare_after)

            def tell(_old: RunRecord, new: RunRecord) -> Sequence[NewEvent]:
                return self.announcer.restored(new.seq, now_us())

            if request is None:
                return await store.update(row.run_key, edit, tell=tell)
            stored = StoredRequest(request.request_id, row.run_key, flight.digest, row.seq, row.seq)
            return await store.update(row.run_key, edit, stored, self._rendered, tell)

        override = None if request is None else request.model_context
        context, _ = (await self._model(record)).effective_context(override)
        if request is not None:
            guard_presets(request, context, record.scope, execution, record.execution_context)
        source = self.stores.durable if shadow else store
        cut = await find_cut(source, record, context)
        incarnation = await self._replaying(
            Origin.RECAST if recast else Origin.RESTORE,
            record,
            store,
            flight,
            model_override=override,
            execution=execution,
            profile=await self.stores.of(record.run_key).read_profile(record.run_key),
            plan=ReplayPlan(compare_after_seq=compare_after),
            event="onRestored",
            commit=commit,
            shadow=shadow,
            at_head=cut is None,
            asked=request is not None,
        )
        if cut is None:
            return incarnation
        return replace(
            incarnation,
            origin=Origin.REWIND,
            plan=cut_plan(cut, compare_after),
            pages=lambda: cut_pages(source, record.run_key, cut),
            commit=CutCommit(store, cut, request, flight.digest, execution, self.announcer, self._rendered),
        )

    async def rewind(self, record: RunRecord, request: RewindRun, flight: Flight) -> Incarnation:
        """A run as it was some steps ago; the tail is taken back when it has come up.

        Raises:
            RequestError: REWIND_INVALID, MODEL_NOT_FOUND, INVALID_CONTEXT; nothing was changed.
        """
        refuse_unborn(record)
        model = await self._model(record)
        context, _ = model.effective_context(request.model_context)
        refuse_filters(context)
        marker = context.restorations.rewind
        source = self.stores.of(record.run_key)
        to_seq = await rewind_target(source, record, request, marker)
        shadow = request.ephemeral and not record.ephemeral
        store = self.stores.ephemeral if shadow else source

        async def commit(row: RunRecord, records: Mapping[str, bytes], _answers: bytes | None) -> RunRecord:
            at_us = now_us()
            entry = None if marker.destructible else rewind_entry(row, request, to_seq, at_us)
            rewound = replace(
                row,
                seq=to_seq if entry is None else entry.seq,
                last_modified_us=at_us,
                last_operated_us=at_us,
            )
            stored = StoredRequest(request.request_id, row.run_key, flight.digest, rewound.seq, rewound.seq)
            await store.rewind(
                Rewind(
                    run_key=row.run_key,
                    epoch=row.epoch,
                    head_seq=row.seq,
                    to_seq=to_seq,
                    marker=entry,
                    at_us=at_us,
                    records=records,
                    request=self._answered(stored, rewound),
                    events=self.announcer.rewound(to_seq, rewound.seq, request.request_id, at_us),
                )
            )
            return rewound

        return await self._replaying(
            Origin.REWIND,
            record,
            store,
            flight,
            model_override=request.model_context,
            execution=record.execution_context,
            profile=await source.read_profile(record.run_key),
            plan=ReplayPlan(through_seq=to_seq, compare_after_seq=record.compare_after_seq),
            event="onRewound",
            commit=commit,
            shadow=shadow,
        )

    async def clone(self, source: RunRecord, request: CopyRequest, flight: Flight) -> Incarnation:
        """A new run with the state that ``source`` has, or had at ``at_seq``.

        Raises:
            RequestError: INVALID_REQUEST for ``at_seq``, RUN_EPHEMERAL, MODEL_NOT_FOUND, INVALID_CONTEXT.
        """
        refuse_unborn(source)
        at_seq = source.seq if request.at_seq is None else request.at_seq
        if not 1 <= at_seq <= source.seq:
            message = f"at_seq must be 1 to {source.seq} (the head of the history), not {at_seq}"
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path="at_seq")
        ephemeral = source.ephemeral if request.ephemeral is None else request.ephemeral
        if source.ephemeral and not ephemeral:
            message = f"run {source.run_key} is ephemeral, so a clone of it must be ephemeral too"
            raise RequestError(ErrorCode.RUN_EPHEMERAL, message, run_key=source.run_key)
        execution = request.execution_context or source.execution_context
        source_store = self.stores.of(source.run_key)
        entries = [
            as_of(entry, at_seq, 1)
            async for page in pages(source_store, source.run_key, at_seq)
            for entry in page
        ]
        context, _ = (await self._model(source)).effective_context(request.model_context)
        guard_presets(request, context, source.scope, execution, source.execution_context)
        entries, excluded = left_by(entries, filters_of(context.restorations.parts()))
        at_seq = len(entries)
        metadata = await source_store.read_metadata(source.run_key)
        told = await source_store.read_profile(source.run_key)
        record = cloned_record(source, request, execution, at_seq, ephemeral=ephemeral)
        if excluded:  # what its outcomes depended on is not there any more
            record = replace(record, compare_after_seq=at_seq)
        lineage = (*lineage_of(entries[0]), (at_seq, source.run_key))
        profile = _narrowed(cloned_profile(told, record, request.actor), request)
        store = self.stores.ephemeral if ephemeral else self.stores.durable
        stored = StoredRequest(request.request_id, record.run_key, flight.digest, at_seq, at_seq)

        async def begin() -> RunRecord:
            if ephemeral:
                self.stores.mark_ephemeral(record.run_key)
            return record

        async def history() -> AsyncIterator[Sequence[Replayable]]:
            yield replayable(entries)

        async def commit(row: RunRecord, records: Mapping[str, bytes], _answers: bytes | None) -> RunRecord:
            body = {
                **msgpack.unpackb(entries[0].action, raw=False),
                "cloned_from": source.run_key,
                "lineage": lineage,
            }
            history = (replace(entries[0], action=pack(body)), *entries[1:])
            await store.create(
                Creation(
                    *(row, history, records, metadata),
                    self._answered(stored, row),
                    self._created(row, records),
                    profile=profile,
                )
            )
            return row

        incarnation = await self._replaying(
            Origin.CLONE,
            record,
            store,
            flight,
            model_override=request.model_context,
            execution=execution,
            profile=profile,
            plan=ReplayPlan(compare_after_seq=record.compare_after_seq),
            event="onCloned",
            commit=commit,
            boot=entries[0],
            at_head=at_seq == source.seq,
        )
        archive = await source_store.read_variables(source.run_key)

        async def archived() -> Mapping[str, bytes]:
            return archive

        return replace(
            incarnation,
            begin=begin,
            pages=history,
            archived=archived,
            archived_us=source.last_operated_us or 0,
            lineage=lineage,
        )

    async def _model(self, record: RunRecord) -> ModelSource:
        return await self.catalogs.of(record.project).read(record.model_file)

    async def _replaying(
        self,
        origin: Origin,
        record: RunRecord,
        store: Store,
        flight: Flight,
        *,
        model_override: dict[str, Any] | None,
        execution: dict[str, Any],
        profile: RunProfile | None,
        plan: ReplayPlan,
        event: str,
        commit: Commit,
        shadow: bool = False,
        boot: LogEntry | None = None,
        at_head: bool = False,
        asked: bool = True,
    ) -> Incarnation:
        """``shadow``: the incarnation works on a copy in memory and leaves the durable run as it is.

        ``at_head``: its state is that of the head of the history, as the archive is. ``asked``: somebody asked
        for it, and is told what the contexts say without effect.
        """
        model = await self._model(record)
        contexts = self._contexts(model, model_override, execution)
        source = self.stores.durable if shadow else store
        if boot is None:
            (boot,) = await source.read(record.run_key, limit=1)
        environment = await self.environments.of(model.context_name, contexts.model, flight)

        async def begin() -> RunRecord:
            if shadow:
                await copy_into_memory(self.stores, record)
            return await store.claim(record.run_key)

        def history() -> AsyncIterator[Sequence[Replayable]]:
            return replay_pages(source, record.run_key, min(plan.through_seq, record.seq))

        async def archived() -> Mapping[str, bytes]:
            return await source.read_variables(record.run_key)

        return Incarnation(
            origin=origin,
            record=record,
            store=store,
            model=model,
            environment=environment,
            context=contexts.model,
            raw_context=contexts.raw,
            execution=execution,
            presets=contexts.presets,
            mapped_files=contexts.mapped_files,
            plan=plan,
            begin=begin,
            pages=history,
            commit=commit,
            event=event,
            ephemeral=shadow or record.ephemeral,
            strict_replay=policy(contexts.raw, "divergence", self.settings.divergence) == "fail",
            boot_at_us=boot.at_us,
            boot_actor=None if boot.actor is None else msgpack.unpackb(boot.actor, raw=False),
            boot_answers=boot.answers,
            warnings=(
                *judge_changes(record, boot, model, environment, contexts.raw, settings=self.settings),
                *(contexts.warnings if asked else ()),
            ),
            assembly=plan_assembly(contexts.model.restorations.parts(), at_head=at_head),
            archived=archived,
            archived_us=record.last_operated_us or 0,
            profile=profile,
            lineage=lineage_of(boot),
        )

    def _contexts(
        self, model: ModelSource, override: dict[str, Any] | None, execution: dict[str, Any]
    ) -> Contexts:
        return judge_contexts(model, override, execution, self.settings, self.sandbox)

    def _created(self, record: RunRecord, records: Mapping[str, bytes]) -> tuple[NewEvent, ...]:
        return self.announcer.created(record, self._view(record), records)

    def _answered(self, stored: StoredRequest, record: RunRecord) -> StoredRequest:
        return replace(stored, result=self._rendered(record))

    def _rendered(self, record: RunRecord) -> bytes:
        """The answer to who brought a run into memory."""
        return pack(self._view(record))

    def _view(self, record: RunRecord) -> dict[str, Any]:
        return run_view(record, RunStatus.READY, live=True, sandbox=self.sandbox)


def lineage_of(boot: LogEntry) -> tuple[tuple[int, str], ...]:
    """Which run recorded the first entries of a history that was copied, and up to which seq; by its boot entry."""
    listed = msgpack.unpackb(boot.action, raw=False).get("lineage", ())
    return tuple((through_seq, run_key) for through_seq, run_key in listed)


def _narrowed(profile: RunProfile, request: CopyRequest) -> RunProfile:
    """The profile of a clone that may be asked for less than its source.

    Raises:
        RequestError: OPERATION_NOT_ATTACHED, where it would be more.
    """
    if request.attached_functions is None:
        return profile
    asked = [one.model_dump(mode="json", exclude_none=True) for one in request.attached_functions]
    try:
        return replace(profile, attached_functions=narrowed(profile.attached_functions, asked))
    except ValueError as error:
        raise RequestError(
            ErrorCode.OPERATION_NOT_ATTACHED,
            f"attached_functions: {str(error)!r} is not among those of the run that is copied; a copy may only have less",
            name=str(error),
            path="attached_functions",
        ) from error


def refuse_unborn(record: RunRecord) -> None:
    """Refuse a run that was started and has not begun: there is nothing to bring back.

    Raises:
        RequestError: RUN_NOT_LIVE.
    """
    if record.seq == 0:
        message = f"run {record.run_key} has not begun yet; its profile tells why, restore_run tries again"
        raise RequestError(ErrorCode.RUN_NOT_LIVE, message, run_key=record.run_key)
