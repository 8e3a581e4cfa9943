"""The rows of new runs and clones, and the entries that the worker itself writes: boot and rewind."""

import secrets
from dataclasses import replace
from typing import Any, Final

from protocol.entities import Actor, Scope, ScopeBoundary
from protocol.errors import ErrorCode
from protocol.messages import CopyRequest, CreateRun, MigrateRun, RestoreRun, RewindRun, UpdateRun
from worker.channel import outcome_digest, pack
from worker.clock import now_us
from worker.errors import RequestError
from worker.process.environment import Environment
from worker.runs.contexts import ModelContext
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.identity import run_key
from worker.runs.permits import default_permit
from worker.runs.profile import RunProfile, default_profile
from worker.runs.record import RunRecord
from worker.settings import Settings
from worker.supervisor.models import ModelSource

LANGUAGE: Final = "PYTHON_3"
DEFAULT_SCOPE: Final = Scope(scope_boundary=ScopeBoundary.PROJECT, scope_key="default")
_OF_ONE_EPISODE: Final = ("episode_name", "world_key")
NOTHING: Final = pack(None)


def scope_of(request: CreateRun, *, is_shared: bool = False) -> Scope:
    """The scope of a run that a request creates: its user is the actor, unless the request or the run says otherwise."""
    scope = request.scope or DEFAULT_SCOPE
    user_key = scope.user_key or (request.actor.user_key if request.actor else None)
    if is_shared or scope.scope_boundary is ScopeBoundary.WORLD:
        user_key = None
    return scope.model_copy(update={"user_key": user_key})


def new_record(
    request: CreateRun,
    model: ModelSource,
    context: ModelContext,
    execution: dict[str, Any],
    *,
    is_shared: bool = False,
) -> RunRecord:
    """The row of a run that a request creates; one that ``is_shared`` has no user.

    Raises:
        RequestError: INVALID_REQUEST for an address in another project.
    """
    at_us = now_us()
    actor = request.actor
    scope = scope_of(request, is_shared=is_shared)
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
        address=_address(request),
        user=None if actor is None or actor.user_key is None else {"user_key": actor.user_key},
        epoch=1,
        project=request.project_name,
    )


def _address(request: CreateRun) -> dict[str, Any] | None:
    """The address of a new run; that of a named project holds its account and project."""
    given = None if request.address is None else request.address.model_dump(mode="json", exclude_none=True)
    if request.project is None:
        return given
    address = given or {}
    account, project = request.project.split("/")
    for name, own in (("account_short_name", account), ("project_short_name", project)):
        if address.setdefault(name, own) != own:
            message = f"address.{name}: it must be {own}, as in the run's project, or be left out"
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path=f"address.{name}")
    return address


def cloned_record(
    source: RunRecord, request: CopyRequest, execution: dict[str, Any], at_seq: int, *, ephemeral: bool
) -> RunRecord:
    """The row of a clone: the source's, but for what is its own."""
    at_us = now_us()
    recast = bool(request.execution_context)
    if isinstance(request, MigrateRun):
        source = _migrated(source, request.episode_key)
    return replace(
        source,
        run_key=run_key(at_us, secrets.token_bytes(10)),
        created_us=at_us,
        last_modified_us=at_us,
        last_operated_us=None,
        execution_context=execution,
        tracking_key=request.tracking_key,
        morphology="MANY",
        marked=False,
        hidden=False,
        closed=False,
        ephemeral=ephemeral,
        seq=at_seq,
        epoch=1,
        cloned_from=source.run_key,
        compare_after_seq=at_seq if recast else min(source.compare_after_seq, at_seq),
        wall_us=0,
        cpu_us=0,
        peak_rss_bytes=0,
        actions=0,
    )


def cloned_profile(source: RunProfile | None, clone: RunRecord, actor: Actor | None) -> RunProfile:
    """The profile of a clone: what the source was told to be, nothing of what became of it, and nobody is told."""
    who = None if actor is None else actor.user_key
    if source is None:
        return default_profile(clone, created_by=who)
    return default_profile(
        clone,
        environment=source.environment,
        created_by=who,
        tags=source.tags,
        context=source.context,
        attached_functions=source.attached_functions,
        result_schema=source.result_schema,
        result_mode=source.result_mode,
        interactive=source.interactive,
        reasoning_traces=source.reasoning_traces,
        call_summarization=source.call_summarization,
        test=source.test,
        course={"actions": [], "mocks": source.mocks} if source.mocks else None,
    )


def _migrated(source: RunRecord, episode_key: str) -> RunRecord:
    """A row in another episode. What its address said of the old place is left out: the worker knows no other."""
    place = {"scope_boundary": ScopeBoundary.EPISODE.value, "scope_key": episode_key}
    stays = {name: value for name, value in (source.address or {}).items() if name not in _OF_ONE_EPISODE}
    return replace(source, scope={**source.scope, **place}, address=stays or None)


def boot_entry(
    record: RunRecord,
    model: ModelSource,
    environment: Environment,
    actor: dict[str, Any] | None,
    *,
    request_id: str,
    settings: Settings,
) -> LogEntry:
    """The first entry of a history: what the run began with."""
    body = {
        "model_file": model.name,
        "model_fingerprint": model.fingerprint,
        "execution_context": record.execution_context,
        "seed": record.seed,
        "protocol_version": 1,
        "clock": settings.clock,
        "entropy": settings.entropy,
        "packages": dict(environment.packages),
    }
    entry = _plain_entry(EntryKind.BOOT, 1, record.epoch, record.created_us, body)
    return replace(entry, actor=None if actor is None else pack(actor), request_id=request_id)


def rewind_entry(row: RunRecord, request: RewindRun | RestoreRun | None, to_seq: int, at_us: int) -> LogEntry:
    """The marker behind the head of ``row`` that takes back everything after ``to_seq``."""
    count = request.rewind_count if isinstance(request, RewindRun) else None
    entry = taking_back(row, to_seq, row.seq + 1, at_us, count)
    return replace(entry, request_id=None if request is None else request.request_id)


def taking_back(row: RunRecord, to_seq: int, seq: int, at_us: int, count: int | None = None) -> LogEntry:
    """The marker at ``seq`` that takes back everything after ``to_seq``."""
    return _plain_entry(EntryKind.REWIND, seq, row.epoch, at_us, {"to_seq": to_seq, "rewind_count": count})


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


def updated_record(current: RunRecord, request: UpdateRun) -> RunRecord:
    """The row with the attributes that a request gives."""
    names = ("tracking_key", "marked", "hidden", "closed", "allow_channel")
    given = {name: getattr(request, name) for name in names if getattr(request, name) is not None}
    permit = current.permit
    if request.permit is not None:
        permit = permit | request.permit.model_dump(mode="json", exclude_none=True)
    return replace(current, permit=permit, last_modified_us=now_us(), **given)


def live_record(live: RunRecord, row: RunRecord) -> RunRecord:
    """The live row with the attributes of ``row``; the history of the live one may be ahead."""
    return replace(
        row,
        seq=live.seq,
        epoch=live.epoch,
        last_operated_us=live.last_operated_us,
        last_modified_us=max(live.last_modified_us, row.last_modified_us),
        wall_us=live.wall_us,
        cpu_us=live.cpu_us,
        peak_rss_bytes=live.peak_rss_bytes,
        actions=live.actions,
    )
