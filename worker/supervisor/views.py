"""How runs and entries look in replies."""

from typing import Any, Final

import msgpack

from protocol.entities import RunState, RunStatus
from worker.channel import REFUSED, UNKNOWN
from worker.clock import iso
from worker.runs.approvals import APPROVAL
from worker.runs.history import EntryKind, LogEntry
from worker.runs.record import RunRecord
from worker.runs.stimuli import ProcessState

_STATUS: Final = {
    ProcessState.COLD: RunStatus.STARTING,
    ProcessState.BOOTING: RunStatus.STARTING,
    ProcessState.REPLAYING: RunStatus.STARTING,
    ProcessState.BUSY: RunStatus.EXECUTING,
    ProcessState.APPENDING: RunStatus.EXECUTING,
}


def status_of(state: ProcessState) -> RunStatus:
    """What a run in memory does, for people."""
    return _STATUS.get(state, RunStatus.READY)


def shown_status(state: ProcessState | None, stored: RunStatus) -> RunStatus:
    """The status of a run by its process, where it has one that does something, else by its profile."""
    if state is not None and (doing := status_of(state)) is not RunStatus.READY:
        return doing
    return stored


def run_view(record: RunRecord, status: RunStatus, *, live: bool, sandbox: str | None) -> dict[str, Any]:
    """The Run of the wire contract; absent optionals are left out."""
    where = RunState.CLOSED if record.closed else RunState.ACTIVE if live else RunState.INACTIVE
    view: dict[str, Any] = {
        "run_key": record.run_key,
        "project": record.project or None,
        "scope": record.scope,
        "permit": record.permit,
        "morphology": record.morphology,
        "model_file": record.model_file,
        "model_language": record.model_language,
        "model_version": record.model_version,
        "model_fingerprint": record.model_fingerprint,
        "execution_context": record.execution_context,
        "tracking_key": record.tracking_key,
        "marked": record.marked,
        "hidden": record.hidden,
        "closed": record.closed,
        "allow_channel": record.allow_channel,
        "ephemeral": record.ephemeral,
        "perpetual": record.perpetual,
        "grammar": record.grammar,
        "created": iso(record.created_us),
        "last_modified": iso(record.last_modified_us),
        "last_operated": None if record.last_operated_us is None else iso(record.last_operated_us),
        "address": record.address,
        "user": record.user,
        "run_state": where.value,
        "status": status.value,
        "live": live,
        "seq": record.seq,
        "sandbox": sandbox if live else None,
        "cloned_from": record.cloned_from,
    }
    return {key: value for key, value in view.items() if value is not None}


def entry_view(entry: LogEntry) -> dict[str, Any]:
    """A log entry as ``read_history`` shows it."""
    outcome = msgpack.unpackb(entry.outcome, raw=False)
    shown = {"status": entry.status.value, ("error" if entry.status == "error" else "result"): outcome}
    view: dict[str, Any] = {
        "seq": entry.seq,
        "epoch": entry.epoch,
        "kind": entry.kind.value,
        "at": iso(entry.at_us),
        **_body(entry),
        **_asked_by(entry),
        "request_id": entry.request_id,
        "batch": entry.batch,
        "outcome": shown,
        "calls": None if entry.answers is None else calls_view(entry.answers),
        "outcome_digest": entry.digest.hex(),
        "rewound_by": entry.rewound_by,
    }
    return {key: value for key, value in view.items() if value is not None}


def _asked_by(entry: LogEntry) -> dict[str, Any]:
    """Who asked, and who decided on it, where somebody did."""
    if entry.actor is None:
        return {}
    actor = msgpack.unpackb(entry.actor, raw=False)
    decision = actor.pop(APPROVAL, None)
    if decision is None:
        return {"actor": actor}
    approval = {name: decision[name] for name in ("action_id", "approved", "by")}
    return {"actor": actor or None, "approval": {**approval, "at": iso(decision["at_us"])}}


def calls_view(answers: bytes) -> list[dict[str, Any]]:
    """What external functions were asked, in order; a name that the context did not have has no answer."""
    calls: list[dict[str, Any]] = []
    for name, arguments, status, value in msgpack.unpackb(answers, raw=False):
        call = {"name": name, "arguments": msgpack.unpackb(arguments, raw=False)}
        if status != UNKNOWN:
            call["error" if status == REFUSED else "result"] = msgpack.unpackb(value, raw=False)
        calls.append(call)
    return calls


def _body(entry: LogEntry) -> dict[str, Any]:
    body: dict[str, Any] = msgpack.unpackb(entry.action, raw=False)
    if entry.kind in (EntryKind.EXECUTE, EntryKind.SET):
        body.pop("kind", None)
    return body
