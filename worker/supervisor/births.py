"""How runs come into memory: what a create, a restore, a rewind and a clone begin with and make durable."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from protocol.entities import Scope, ScopeBoundary
from protocol.errors import ErrorCode
from protocol.messages import CloneRun, CreateRun, RestoreRun, RewindRun
from worker.channel import outcome_digest, pack
from worker.clock import now_us
from worker.errors import ReplayError, RequestError
from worker.log.base import Creation, Rewind, Store, StoredRequest
from worker.runs.contexts import ModelContext, execution_context
from worker.runs.history import (
    EntryKind,
    LogEntry,
    OutcomeStatus,
    ReplayPlan,
    RewindFinder,
    RewindRefusedError,
    as_of,
)
from worker.runs.identity import run_key
from worker.runs.permits import default_permit
from worker.runs.record import RunRecord
from worker.runs.stimuli import Origin
from worker.settings import Settings
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.models import ModelCatalog, ModelSource
from worker.supervisor.replay import PAGE_ENTRIES
from worker.supervisor.table import Stores
from worker.supervisor.views import run_view
from worker.telemetry import Logger

LANGUAGE = "PYTHON_3"
DEFAULT_SCOPE = Scope(scope_boundary=ScopeBoundary.PROJECT, scope_key="default")
NOTHING = pack(None)


@dataclass(frozen=True, slots=True)
class Births:
    """Builds incarnations; nothing is started or written before a host executes them."""

    catalog: ModelCatalog
    stores: Stores
    settings: Settings
    log: Logger
    sandbox: str

    def create(self, request: CreateRun, digest: bytes) -> Incarnation:
        """A new run.

        Raises:
            RequestError: MODEL_NOT_FOUND, INVALID_CONTEXT, INVALID_REQUEST.
        """
        model = self.catalog.find(request.model_file)
        context, raw = model.effective_context(request.model_context)
        execution = request.execution_context or {}
        presets = execution_context("execution_context", execution).presets
        record = self._new_record(request, model, context, execution)
        actor = None if request.actor is None else request.actor.model_dump(mode="json", exclude_none=True)
        store = self.stores.ephemeral if request.ephemeral else self.stores.durable
        stored = StoredRequest(request.request_id, record.run_key, digest, 1, 1)

        async def begin() -> RunRecord:
            if record.ephemeral:
                self.stores.mark_ephemeral(record.run_key)
            return record

        async def commit(row: RunRecord, records: Mapping[str, bytes], at_us: int) -> RunRecord:
            born = replace(row, seq=1)
            boot = self._boot_entry(born, model, actor, at_us, request.request_id)
            metadata = request.metadata or {}
            await store.create(Creation(born, (boot,), records, metadata, self._answered(stored, born)))
            return born

        return Incarnation(
            origin=Origin.CREATE,
            record=record,
            store=store,
            model=model,
            context=context,
            raw_context=raw,
            execution=execution,
            presets=presets,
            plan=ReplayPlan(),
            begin=begin,
            pages=_no_pages,
            commit=commit,
            event="onInitialized",
            ephemeral=request.ephemeral,
            strict_replay=True,
            boot_at_us=record.created_us,
            boot_actor=actor,
        )

    async def restore(self, record: RunRecord, request: RestoreRun | None = None) -> Incarnation:
        """A run from its history, as its log has it.

        Raises:
            RequestError: MODEL_NOT_FOUND, INVALID_CONTEXT; ReplayError: the model changed and may not.
        """
        execution = record.execution_context
        recast = request is not None and request.execution_context is not None
        if request is not None and request.execution_context is not None:
            execution = request.execution_context
        compare_after = record.seq if recast else record.compare_after_seq
        ephemeral = record.ephemeral
        if request is not None and request.ephemeral and not ephemeral:
            await self._shadow(record)
            ephemeral = True
        store = self.stores.of(record.run_key)

        async def commit(row: RunRecord, _records: Mapping[str, bytes], _at_us: int) -> RunRecord:
            def edit(current: RunRecord) -> RunRecord:
                return replace(current, execution_context=execution, compare_after_seq=compare_after)

            return await store.update(row.run_key, edit)

        return await self._replaying(
            Origin.RECAST if recast else Origin.RESTORE,
            record,
            store,
            model_override=None if request is None else request.model_context,
            execution=execution,
            plan=ReplayPlan(compare_after_seq=compare_after),
            event="onRestored",
            commit=commit,
            ephemeral=ephemeral,
        )

    async def rewind(self, record: RunRecord, request: RewindRun, digest: bytes) -> Incarnation:
        """A run as it was some steps ago; the tail is taken back when it has come up.

        Raises:
            RequestError: REWIND_INVALID, MODEL_NOT_FOUND, INVALID_CONTEXT; nothing was changed.
        """
        model = self.catalog.find(record.model_file)
        context, _ = model.effective_context(request.model_context)
        marker = context.restorations.rewind
        to_seq = await self._rewind_target(record, request, context)
        ephemeral = record.ephemeral
        if request.ephemeral and not ephemeral:
            await self._shadow(record)
            ephemeral = True
        store = self.stores.of(record.run_key)

        async def commit(row: RunRecord, records: Mapping[str, bytes], _at_us: int) -> RunRecord:
            at_us = now_us()
            body = {"to_seq": to_seq, "rewind_count": request.rewind_count}
            entry = (
                None
                if marker.destructible
                else _plain_entry(EntryKind.REWIND, row.seq + 1, row.epoch, at_us, body)
            )
            if entry is not None:
                entry = replace(entry, request_id=request.request_id)
            rewound = replace(row, seq=to_seq if entry is None else entry.seq, last_modified_us=at_us)
            stored = StoredRequest(request.request_id, row.run_key, digest, rewound.seq, rewound.seq)
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
                )
            )
            return replace(rewound, last_operated_us=at_us)

        return await self._replaying(
            Origin.REWIND,
            record,
            store,
            model_override=request.model_context,
            execution=record.execution_context,
            plan=ReplayPlan(through_seq=to_seq, compare_after_seq=record.compare_after_seq),
            event="onRewound",
            commit=commit,
            ephemeral=ephemeral,
        )

    async def clone(self, source: RunRecord, request: CloneRun, digest: bytes) -> Incarnation:
        """A new run with the state that ``source`` has, or had at ``at_seq``.

        Raises:
            RequestError: INVALID_REQUEST for ``at_seq``, RUN_EPHEMERAL, MODEL_NOT_FOUND, INVALID_CONTEXT.
        """
        at_seq = source.seq if request.at_seq is None else request.at_seq
        if not 1 <= at_seq <= source.seq:
            message = f"at_seq must be 1 to {source.seq} (the head of the history), not {at_seq}"
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path="at_seq")
        ephemeral = source.ephemeral if request.ephemeral is None else request.ephemeral
        if source.ephemeral and not ephemeral:
            message = f"run {source.run_key} is ephemeral, so a clone of it must be ephemeral too"
            raise RequestError(ErrorCode.RUN_EPHEMERAL, message, run_key=source.run_key)
        execution = (
            source.execution_context if request.execution_context is None else request.execution_context
        )
        source_store = self.stores.of(source.run_key)
        entries = [
            as_of(entry, at_seq, 1)
            async for page in _pages(source_store, source.run_key, at_seq)
            for entry in page
        ]
        metadata = await source_store.read_metadata(source.run_key)
        record = self._cloned_record(source, request, execution, at_seq, ephemeral=ephemeral)
        store = self.stores.ephemeral if ephemeral else self.stores.durable
        stored = StoredRequest(request.request_id, record.run_key, digest, at_seq, at_seq)
        boot_at_us = entries[0].at_us

        async def begin() -> RunRecord:
            if ephemeral:
                self.stores.mark_ephemeral(record.run_key)
            return record

        async def pages() -> AsyncIterator[Sequence[LogEntry]]:
            yield entries

        async def commit(row: RunRecord, records: Mapping[str, bytes], _at_us: int) -> RunRecord:
            body = {**msgpack.unpackb(entries[0].action, raw=False), "cloned_from": source.run_key}
            history = (replace(entries[0], action=pack(body)), *entries[1:])
            await store.create(Creation(row, history, records, metadata, self._answered(stored, row)))
            return row

        incarnation = await self._replaying(
            Origin.CLONE,
            record,
            store,
            model_override=request.model_context,
            execution=execution,
            plan=ReplayPlan(compare_after_seq=record.compare_after_seq),
            event="onCloned",
            commit=commit,
            ephemeral=ephemeral,
            boot=entries[0],
        )
        return replace(incarnation, begin=begin, pages=pages, boot_at_us=boot_at_us)

    # Shared by all that replay

    async def _replaying(
        self,
        origin: Origin,
        record: RunRecord,
        store: Store,
        *,
        model_override: dict[str, Any] | None,
        execution: dict[str, Any],
        plan: ReplayPlan,
        event: str,
        commit: Any,
        ephemeral: bool,
        boot: LogEntry | None = None,
    ) -> Incarnation:
        model = self.catalog.find(record.model_file)
        context, raw = model.effective_context(model_override)
        presets = execution_context("execution_context", execution).presets
        if boot is None:
            (boot,) = await store.read(record.run_key, limit=1)

        async def begin() -> RunRecord:
            return await store.claim(record.run_key)

        def pages() -> AsyncIterator[Sequence[LogEntry]]:
            return _pages(store, record.run_key, plan.through_seq)

        return Incarnation(
            origin=origin,
            record=record,
            store=store,
            model=model,
            context=context,
            raw_context=raw,
            execution=execution,
            presets=presets,
            plan=plan,
            begin=begin,
            pages=pages,
            commit=commit,
            event=event,
            ephemeral=ephemeral,
            strict_replay=_policy(raw, "divergence", self.settings.divergence) == "fail",
            boot_at_us=boot.at_us,
            boot_actor=None if boot.actor is None else msgpack.unpackb(boot.actor, raw=False),
            warnings=self._judge_fingerprint(record, model, raw),
        )

    def _judge_fingerprint(
        self, record: RunRecord, model: ModelSource, raw: Mapping[str, Any]
    ) -> tuple[dict[str, Any], ...]:
        if record.model_fingerprint == model.fingerprint:
            return ()
        finding = {"began_with": record.model_fingerprint, "now": model.fingerprint, "model_file": model.name}
        if _policy(raw, "modelChanged", self.settings.model_changed) == "fail":
            raise ReplayError(
                ErrorCode.REPLAY_DIVERGED,
                f"{model.name} was changed since the history of run {record.run_key} began (fingerprint "
                f"{record.model_fingerprint[:12]}, now {model.fingerprint[:12]}) and model_changed is 'fail'; "
                "put the old files back, or allow it with 'warn'",
                **finding,
            )
        self.log.warning("model changed since the history began", run_key=record.run_key, **finding)
        return ({"code": "MODEL_CHANGED", **finding},)

    async def _rewind_target(self, record: RunRecord, request: RewindRun, context: ModelContext) -> int:
        marker = context.restorations.rewind

        def is_step(entry: LogEntry) -> bool:
            action = msgpack.unpackb(entry.action, raw=False)
            fits = marker.arguments is None or action.get("arguments") == marker.arguments
            return bool(action.get("name") == marker.name and fits)

        if request.to_seq is None and marker.name is None:
            raise RequestError(
                ErrorCode.REWIND_INVALID,
                f"the context of {record.model_file} declares no restorations.rewind.name, so there are no steps "
                "to count; declare one, or rewind to_seq",
                run_key=record.run_key,
            )
        finder = RewindFinder(is_step)
        async for page in _pages(self.stores.of(record.run_key), record.run_key, record.seq):
            finder.feed(page)
        try:
            if request.to_seq is not None:
                return finder.by_seq(request.to_seq, record.seq)
            return finder.by_count(request.rewind_count or 0)
        except RewindRefusedError as error:
            raise RequestError(ErrorCode.REWIND_INVALID, str(error), run_key=record.run_key) from error

    async def _shadow(self, record: RunRecord) -> None:
        """Copy a durable run into memory, where this incarnation may do what it likes."""
        durable, key = self.stores.durable, record.run_key
        entries = tuple([entry async for page in _pages(durable, key, record.seq) for entry in page])
        records = await durable.read_variables(key)
        metadata = await durable.read_metadata(key)
        await self.stores.ephemeral.remove(key)
        await self.stores.ephemeral.create(
            Creation(replace(record, ephemeral=True), entries, records, metadata)
        )
        self.stores.mark_ephemeral(key)

    def _answered(self, stored: StoredRequest, record: RunRecord) -> StoredRequest:
        return replace(stored, result=pack(run_view(record, None, live=True, sandbox=self.sandbox)))

    def _new_record(
        self, request: CreateRun, model: ModelSource, context: ModelContext, execution: dict[str, Any]
    ) -> RunRecord:
        at_us = now_us()
        actor = request.actor
        scope = request.scope or DEFAULT_SCOPE
        user_key = scope.user_key or (actor.user_key if actor else None)
        if scope.scope_boundary is ScopeBoundary.WORLD:
            user_key = None
        scope = scope.model_copy(update={"user_key": user_key})
        permit = default_permit(actor.role if actor else None, scope)
        if request.permit is not None:
            permit |= request.permit.model_dump(mode="json", exclude_none=True)
        return RunRecord(
            run_key=run_key(at_us, secrets.token_bytes(10)),
            model_file=model.name,
            model_language=LANGUAGE,
            model_version=context.modelVersion,
            model_fingerprint=model.fingerprint,
            created_us=at_us,
            last_modified_us=at_us,
            seed=secrets.randbits(63),
            scope=scope.model_dump(mode="json", exclude_none=True),
            permit=permit,
            morphology=request.morphology,
            execution_context=execution,
            tracking_key=request.tracking_key,
            allow_channel=request.allow_channel,
            ephemeral=request.ephemeral,
            perpetual=request.perpetual,
            grammar=request.grammar,
            address=None
            if request.address is None
            else request.address.model_dump(mode="json", exclude_none=True),
            user=None if actor is None or actor.user_key is None else {"user_key": actor.user_key},
            epoch=1,
        )

    def _cloned_record(
        self, source: RunRecord, request: CloneRun, execution: dict[str, Any], at_seq: int, *, ephemeral: bool
    ) -> RunRecord:
        at_us = now_us()
        recast = request.execution_context is not None
        return replace(
            source,
            run_key=run_key(at_us, secrets.token_bytes(10)),
            created_us=at_us,
            last_modified_us=at_us,
            last_operated_us=None,
            execution_context=execution,
            tracking_key=request.tracking_key,
            marked=False,
            hidden=False,
            closed=False,
            ephemeral=ephemeral,
            seq=at_seq,
            epoch=1,
            cloned_from=source.run_key,
            compare_after_seq=at_seq if recast else min(source.compare_after_seq, at_seq),
        )

    def _boot_entry(
        self, record: RunRecord, model: ModelSource, actor: dict[str, Any] | None, at_us: int, request_id: str
    ) -> LogEntry:
        body = {
            "model_file": model.name,
            "model_fingerprint": model.fingerprint,
            "execution_context": record.execution_context,
            "seed": record.seed,
            "protocol_version": 1,
            "clock": self.settings.clock,
            "entropy": self.settings.entropy,
        }
        entry = _plain_entry(EntryKind.BOOT, 1, record.epoch, at_us, body)
        return replace(entry, actor=None if actor is None else pack(actor), request_id=request_id)


def _plain_entry(kind: EntryKind, seq: int, epoch: int, at_us: int, body: dict[str, Any]) -> LogEntry:
    return LogEntry(
        seq=seq,
        epoch=epoch,
        kind=kind,
        at_us=at_us,
        action=pack(body),
        actor=None,
        status=OutcomeStatus.COMPLETED,
        outcome=NOTHING,
        digest=outcome_digest("completed", NOTHING),
    )


def _policy(raw: Mapping[str, Any], name: str, default: str) -> str:
    """A policy that a model may set for itself, under ``restorations`` of its context."""
    restorations = raw.get("restorations")
    own = restorations.get(name) if isinstance(restorations, Mapping) else None
    return own if own in ("fail", "warn") else default


async def _pages(store: Store, run_key: str, through_seq: int) -> AsyncIterator[list[LogEntry]]:
    """A history in pages, up to and including ``through_seq``."""
    after = 0
    while True:
        page = await store.read(run_key, after_seq=after, limit=PAGE_ENTRIES)
        wanted = [entry for entry in page if entry.seq <= through_seq]
        if wanted:
            yield wanted
        if len(page) < PAGE_ENTRIES or len(wanted) < len(page):
            return
        after = page[-1].seq


async def _no_pages() -> AsyncIterator[Sequence[LogEntry]]:
    """The history of a run that is only being created."""
    for page in ():
        yield page
