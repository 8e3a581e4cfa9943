"""Values to rows and back: the same for every SQL adapter.

Columns are named as the fields they hold. Nested maps are JSON text, flags are 0 or 1.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from protocol.entities import RunStatus
from protocol.events import EventKind
from worker.channel import unpack
from worker.log.base import NewEvent, StoredEvent, StoredRequest
from worker.runs.comparison import Opaque, comparable_of, instant_ms
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord

PROFILE_FIELDS: Final = tuple(field.name for field in fields(RunProfile))
RUN_FIELDS: Final = tuple(field.name for field in fields(RunRecord))
SCOPE_COLUMNS: Final = ("scope_boundary", "scope_key", "user_key")
"""Derived from ``scope`` at every write, for queries only."""
ADDRESS_COLUMNS: Final = ("group_name", "episode_name")
"""Derived from ``address``, as these."""
PERMIT_COLUMNS: Final = ("read_lock",)
"""Derived from ``permit``, as these."""
RUN_COLUMNS: Final = (*RUN_FIELDS, *SCOPE_COLUMNS, *ADDRESS_COLUMNS, *PERMIT_COLUMNS)

FALSE: Final = b"\0"
TRUE: Final = b"\1"
OPAQUE_VALUE: Final = b"\2"

_MAPS: Final = ("scope", "permit", "execution_context", "address", "user")
_FLAGS: Final = ("marked", "hidden", "closed", "allow_channel", "ephemeral", "perpetual")
_PROFILE_JSON: Final = (
    *(
        "error",
        "source",
        "tags",
        "evaluation",
        "attached_functions",
        "on_status_change",
        "parameters",
        "pending",
        "result",
    ),
    *("result_errors", "result_schema", "context", "course"),
)
_PROFILE_FLAGS: Final = ("test", "interactive", "reasoning_traces", "call_summarization")
_STATUS_NAMES: Final = {status.value: status for status in RunStatus}
_TO_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_KINDS: Final = {kind.value: kind for kind in EntryKind}
_STATUSES: Final = {status.value: status for status in OutcomeStatus}


def run_to_row(run: RunRecord) -> dict[str, Any]:
    """The row of a run by ``RUN_COLUMNS``."""
    row = {name: getattr(run, name) for name in RUN_FIELDS}
    for name in _MAPS:
        if row[name] is not None:
            row[name] = _TO_JSON.encode(row[name])
    for name in SCOPE_COLUMNS:
        row[name] = run.scope.get(name)
    for name in ADDRESS_COLUMNS:
        row[name] = (run.address or {}).get(name)
    for name in PERMIT_COLUMNS:
        row[name] = run.permit.get(name)
    return row


def run_from_row(row: Mapping[str, Any] | sqlite3.Row) -> RunRecord:
    """A run from its columns by name; columns that are no field are passed over."""
    values = {name: row[name] for name in RUN_FIELDS}
    for name in _MAPS:
        if values[name] is not None:
            values[name] = json.loads(values[name])
    for name in _FLAGS:
        values[name] = bool(values[name])
    return RunRecord(**values)


def profile_to_row(profile: RunProfile) -> dict[str, Any]:
    """The row of a profile by column."""
    row: dict[str, Any] = {name: getattr(profile, name) for name in PROFILE_FIELDS}
    for name in _PROFILE_JSON:
        if row[name] is not None:
            row[name] = _TO_JSON.encode(row[name])
    row["status"] = profile.status.value
    return row


def profile_from_row(row: Mapping[str, Any] | sqlite3.Row) -> RunProfile:
    """A profile from some of its columns by name; those that are missing have their defaults."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a Row gives its values
    for name in _PROFILE_JSON:
        if values.get(name) is not None:
            values[name] = json.loads(values[name])
    for name in _PROFILE_FLAGS:
        if name in values:
            values[name] = bool(values[name])
    if "tags" in values:
        values["tags"] = tuple(values["tags"])
    values["status"] = _STATUS_NAMES[values["status"]]
    return RunProfile(**values)


def entry_to_row(run_key: str, entry: LogEntry) -> tuple[Any, ...]:
    """The run key, then the fields in their order."""
    return (
        run_key,
        entry.seq,
        entry.epoch,
        str(entry.kind),
        entry.at_us,
        entry.action,
        entry.actor,
        str(entry.status),
        entry.outcome,
        entry.digest,
        entry.request_id,
        entry.batch,
        entry.rewound_by,
        entry.answers,
    )


def entry_from_row(row: Sequence[Any]) -> LogEntry:
    """An entry from its fields in their order."""
    seq, epoch, kind, at_us, action, actor, status, *rest = row
    return LogEntry(seq, epoch, _KINDS[kind], at_us, action, actor, _STATUSES[status], *rest)


def request_to_row(request: StoredRequest) -> tuple[Any, ...]:
    """The fields in their order."""
    return (
        request.request_id,
        request.run_key,
        request.digest,
        request.first_seq,
        request.last_seq,
        request.result,
    )


def request_from_row(row: Sequence[Any]) -> StoredRequest:
    """A request from its fields in their order."""
    return StoredRequest(*row)


def event_to_row(event: StoredEvent) -> tuple[Any, ...]:
    """The fields in their order."""
    return (event.run_key, event.event, str(event.kind), event.at_us, event.body)


def event_from_row(run_key: str, row: Sequence[Any]) -> StoredEvent:
    """An event from its number, kind, time and body."""
    event, kind, at_us, body = row
    return StoredEvent(run_key, event, EventKind(kind), at_us, body)


def value_to_row(run_key: str, name: str, value: bytes) -> tuple[Any, ...]:
    """A recorded variable or metadata value, with what queries compare: ``scalar_of`` and ``at_ms_of``."""
    scalar = scalar_of(value)
    return (run_key, name, value, scalar, instant_ms(scalar) if type(scalar) is str else None)


def metadata_to_row(run_key: str, name: str, value: bytes) -> tuple[Any, ...]:
    """A recorded metadata value as any other, with the document of what is no scalar."""
    row = value_to_row(run_key, name, value)
    return (*row, document_of(value) if row[3] == OPAQUE_VALUE else None)


def document_of(value: bytes) -> str:
    """The JSON text of a msgpack value."""
    return _TO_JSON.encode(unpack(value))


def scalar_of(value: bytes) -> int | float | str | bytes | None:
    """What a msgpack value counts as: numbers and texts as they are, the rest as bytes, which sort behind them."""
    found = comparable_of(value)
    if found is True or found is False:
        return TRUE if found else FALSE
    return OPAQUE_VALUE if isinstance(found, Opaque) else found


def at_ms_of(value: bytes) -> int | None:
    """Milliseconds since 1970 of a msgpack text that is an ISO-8601 time."""
    scalar = scalar_of(value)
    return instant_ms(scalar) if isinstance(scalar, str) else None


def numbered(run_key: str, events: Sequence[NewEvent], last: int) -> tuple[StoredEvent, ...]:
    """Events whose last one has the number ``last``."""
    first = last - len(events) + 1
    return tuple(
        StoredEvent(run_key, number, event.kind, event.at_us, event.body)
        for number, event in enumerate(events, first)
    )
