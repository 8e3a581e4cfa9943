"""The writes, each inside a transaction that the caller opened: it applies whole or raises.

Order of checks: the run exists, the writer owns it (epoch and head), the request is new. What a raising
write has done so far is the caller's to roll back.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from protocol.entities import RunStatus
from worker.channel import pack
from worker.log import rules
from worker.log.base import Append, Binding, Creation, NewEvent, Rewind, StoredEvent, StoredRequest
from worker.log.rows import (
    RUN_COLUMNS,
    entry_to_row,
    event_to_row,
    metadata_to_row,
    numbered,
    run_to_row,
    value_to_row,
)
from worker.log.sqlite_bindings import bind_new, rebind
from worker.log.sqlite_bindings import unbind as unbind_run
from worker.log.sqlite_bulk import BulkStatement
from worker.log.sqlite_profiles import change_status as apply_changes
from worker.log.sqlite_profiles import close_profile, deliver, insert_profile, read_profile
from worker.log.sqlite_profiles import update_profile as edit_profile
from worker.log.sqlite_reads import first_run, get_run, read_metadata
from worker.log.sqlite_requests import insert_request, insert_requests, keep_answers, refuse_duplicate
from worker.log.sqlite_traces import drop_traces, insert_traces
from worker.log.sqlite_words import remove_words
from worker.runs.history import LogEntry
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.record import RunRecord

# Columns of moved: run_key, epoch, head_seq, seq, at_us, number of events, then what Usage has.
_ADVANCE = BulkStatement(
    "UPDATE run SET seq = moved.column4, last_operated_us = moved.column5, last_modified_us = moved.column5,"
    " event = run.event + moved.column6, wall_us = run.wall_us + moved.column7, cpu_us = run.cpu_us + moved.column8,"
    " peak_rss_bytes = max(run.peak_rss_bytes, moved.column9), actions = run.actions + moved.column10"
    " FROM (VALUES {rows}) AS moved"
    " WHERE run.run_key = moved.column1 AND run.epoch = moved.column2 AND run.seq = moved.column3",
    columns=10,
)
_ADVANCE_ONE: Final = (
    "UPDATE run SET seq = ?, last_operated_us = ?, last_modified_us = ?, event = event + ?,"
    " wall_us = wall_us + ?, cpu_us = cpu_us + ?, peak_rss_bytes = max(peak_rss_bytes, ?), actions = actions + ?"
    " WHERE run_key = ? AND epoch = ? AND seq = ? RETURNING event"
)
# One row whatever their number: each row that a statement returns gives the interpreter lock away.
_EVENT_HEADS: Final = (
    "SELECT json_group_object(run_key, event) FROM run WHERE run_key IN (SELECT value FROM json_each(?))"
)
_INSERT_EVENTS = BulkStatement(
    "INSERT INTO event (run_key, event, kind, at_us, body) VALUES {rows}", columns=5
)
_INSERT_ENTRIES = BulkStatement(
    "INSERT INTO entry (run_key, seq, epoch, kind, at_us, action, actor, status, outcome, digest, request_id,"
    " batch, rewound_by, answers) VALUES {rows}",
    columns=14,
)
_WRITE_VARIABLES = BulkStatement(
    "INSERT INTO variable (run_key, name, value, scalar, at_ms) VALUES {rows}"
    " ON CONFLICT DO UPDATE SET value = excluded.value, scalar = excluded.scalar, at_ms = excluded.at_ms",
    columns=5,
)
_WRITE_METADATA = BulkStatement(
    "INSERT INTO metadata (run_key, name, value, scalar, at_ms, document) VALUES {rows}"
    " ON CONFLICT DO UPDATE SET value = excluded.value, scalar = excluded.scalar, at_ms = excluded.at_ms,"
    " document = excluded.document",
    columns=6,
)
_INSERT_RUN: Final = (
    f"INSERT INTO run ({', '.join(RUN_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in RUN_COLUMNS)})"  # noqa: S608 - of our own texts
    " ON CONFLICT DO NOTHING"
)
_UPDATE_RUN: Final = (
    f"UPDATE run SET {', '.join(f'{name} = :{name}' for name in RUN_COLUMNS if name not in rules.IMMUTABLE)}"  # noqa: S608 - of our own texts
    " WHERE run_key = :run_key"
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a write with events gave: its result for the caller, and the events with their numbers."""

    result: Any
    events: tuple[StoredEvent, ...] = ()


class NotAllApplicableError(Exception):
    """Some of many appends cannot be applied; which, and why, shows when they are done one by one."""


def append_all(db: sqlite3.Connection, appends: Sequence[Append]) -> list[Written]:
    """Do what ``append`` does for several different runs, in one statement per table.

    Raises:
        NotAllApplicableError: one is fenced, repeated or without a run; the transaction must be rolled back.
    """
    heads = [
        (
            *(item.run_key, item.epoch, item.head_seq, item.head_seq + len(item.entries), item.at_us),
            len(item.events),
            *_usage_row(item),
        )
        for item in appends
    ]
    requests = [item.request for item in appends if item.request is not None]
    if _ADVANCE(db, heads) != len(heads) or not insert_requests(db, requests):
        raise NotAllApplicableError
    _INSERT_ENTRIES(db, [entry_to_row(item.run_key, entry) for item in appends for entry in item.entries])
    insert_traces(db, appends)
    _WRITE_VARIABLES(
        db,
        [value_to_row(item.run_key, name, value) for item in appends for name, value in item.records.items()],
    )
    last = _event_heads(db, [item.run_key for item in appends if item.events])
    events = [numbered(item.run_key, item.events, last.get(item.run_key, 0)) for item in appends]
    _insert_events(db, [event for group in events for event in group])
    return [Written(None, (*group, *_changed(db, item))) for item, group in zip(appends, events, strict=True)]


def append(db: sqlite3.Connection, append: Append) -> Written:
    """Add entries with their archive values, events and request behind the head."""
    run_key = append.run_key
    last = _advance(db, append, append.head_seq + len(append.entries))
    if append.request is not None:
        insert_request(db, append.request)
    _insert_entries(db, run_key, append.entries)
    insert_traces(db, (append,))
    _write_variables(db, run_key, append.records)
    events = numbered(run_key, append.events, last)
    _insert_events(db, events)
    return Written(None, (*events, *_changed(db, append)))


def rewind(db: sqlite3.Connection, rewind: Rewind) -> Written:
    """Take back a tail by a marker, or delete it, and replace the archive."""
    run_key = rewind.run_key
    if rewind.marker is None:
        last = _advance(db, rewind, rewind.to_seq)
        keep_answers(db, run_key, rewind.to_seq)
        db.execute("DELETE FROM entry WHERE run_key = ? AND seq > ?", (run_key, rewind.to_seq))
        drop_traces(db, run_key, rewind.to_seq)
    else:
        last = _advance(db, rewind, rewind.marker.seq + len(rewind.kept))
        db.execute(
            "UPDATE entry SET rewound_by = ? WHERE run_key = ? AND seq > ? AND rewound_by IS NULL",
            (rewind.marker.seq, run_key, rewind.to_seq),
        )
        _insert_entries(db, run_key, (rewind.marker, *rewind.kept))
    db.execute("DELETE FROM variable WHERE run_key = ?", (run_key,))
    _write_variables(db, run_key, rewind.records)
    if rewind.request is not None:
        insert_request(db, rewind.request)
    events = numbered(run_key, rewind.events, last)
    _insert_events(db, events)
    return Written(None, events)


def create(db: sqlite3.Connection, creation: Creation) -> Written:
    """Add a run with history, archive, metadata, events and request."""
    run_key = creation.run.run_key
    if creation.request is not None:
        insert_request(db, creation.request)
    if db.execute(_INSERT_RUN, run_to_row(creation.run)).rowcount != 1:
        raise rules.run_exists(run_key)
    profile = rules.profile_of(creation)
    insert_profile(db, profile)
    if creation.binding is not None:
        bind_new(db, creation.binding, run_key)
    _insert_entries(db, run_key, creation.entries)
    _write_variables(db, run_key, creation.records)
    _write_metadata(db, run_key, creation.metadata)
    if profile.status is RunStatus.CREATED:
        deliver(db, None, profile, creation.run.created_us)
    return add_events(db, run_key, creation.events)


def add_events(
    db: sqlite3.Connection, run_key: str, events: Sequence[NewEvent], result: Any = None
) -> Written:
    """Number events behind those that the run has."""
    if not events:
        return Written(result)
    moved = db.execute(
        "UPDATE run SET event = event + ? WHERE run_key = ? RETURNING event", (len(events), run_key)
    ).fetchall()
    if not moved:
        raise rules.run_not_found(run_key)
    stored = numbered(run_key, events, moved[0][0])
    _insert_events(db, stored)
    return Written(result, stored)


def claim(db: sqlite3.Connection, run_key: str) -> RunRecord:
    """Raise the epoch by one and return the row."""
    run = first_run(db, "UPDATE run SET epoch = epoch + 1 WHERE run_key = ? RETURNING *", run_key)
    if run is None:
        raise rules.run_not_found(run_key)
    return run


def update(
    db: sqlite3.Connection,
    run_key: str,
    *,
    edit: Callable[[RunRecord], RunRecord],
    request: StoredRequest | None,
    render: Callable[[RunRecord], bytes] | None,
    tell: Callable[[RunRecord, RunRecord], Sequence[NewEvent]] | None,
) -> Written:
    """Replace the row by its edited form."""
    old = get_run(db, run_key)
    if old is None:
        raise rules.run_not_found(run_key)
    if request is not None:
        refuse_duplicate(db, request)
    new = edit(old)
    rules.check_edit(old, new)
    db.execute(_UPDATE_RUN, run_to_row(new))
    if new.closed and not old.closed:
        close_profile(db, run_key)
    if request is not None:
        insert_request(db, request if render is None else replace(request, result=render(new)))
    return add_events(db, run_key, () if tell is None else tell(old, new), new)


def bind(
    db: sqlite3.Connection,
    binding: Binding,
    run_key: str,
    *,
    edit: Callable[[RunRecord], RunRecord],
    request: StoredRequest,
) -> Written:
    """Edit the row of a run and bind it instead of whatever is bound."""
    checked = rules.binding_edit(edit)
    written = update(db, run_key, edit=checked, request=request, render=None, tell=None)
    rebind(db, binding, run_key)
    return written


def unbind(db: sqlite3.Connection, binding: Binding, request: StoredRequest | None) -> None:
    """Bind nothing."""
    if request is not None:
        insert_request(db, request)
    unbind_run(db, binding)


def update_metadata(
    db: sqlite3.Connection,
    run_key: str,
    *,
    edit: Callable[[dict[str, Any]], dict[str, Any]],
    request: StoredRequest | None,
    at_us: int,
    tell: Callable[[dict[str, Any]], Sequence[NewEvent]] | None,
) -> Written:
    """Store what the edit changes and return it."""
    touched = db.execute("UPDATE run SET last_modified_us = ? WHERE run_key = ?", (at_us, run_key))
    if touched.rowcount != 1:
        raise rules.run_not_found(run_key)
    if request is not None:
        refuse_duplicate(db, request)
    changed = edit(read_metadata(db, run_key, None))
    _write_metadata(db, run_key, changed)
    if request is not None:
        insert_request(db, replace(request, result=pack(changed)))
    return add_events(db, run_key, () if tell is None else tell(changed), changed)


def update_profile(
    db: sqlite3.Connection,
    run_key: str,
    *,
    edit: Callable[[RunProfile], RunProfile],
    request: StoredRequest | None,
    render: Callable[[RunProfile], bytes] | None,
    tell: Callable[[RunProfile, RunProfile], Sequence[NewEvent]] | None,
    at_us: int | None,
) -> Written:
    """Replace a profile by its edited form."""
    if request is not None:
        refuse_duplicate(db, request)
    old, new, stored = edit_profile(db, run_key, edit=edit, request=request, render=render)
    if at_us is not None:
        _touch_run(db, run_key, at_us)
    if stored is not None:
        insert_request(db, stored)
    return add_events(db, run_key, () if tell is None else tell(old, new), new)


def change_status(
    db: sqlite3.Connection, run_key: str, changes: Sequence[StatusChange], request: StoredRequest | None
) -> Written:
    """Change the status of a run; gives the profile as it then is."""
    events = apply_changes(db, run_key, changes)
    if request is not None:
        insert_request(db, request)
    _touch_run(db, run_key, changes[-1].at_us)
    return add_events(db, run_key, events, read_profile(db, run_key))


def _changed(db: sqlite3.Connection, append: Append) -> tuple[StoredEvent, ...]:
    """The changes of status that an append makes durable; few have any."""
    if not append.changes:
        return ()
    events = apply_changes(db, append.run_key, append.changes)
    return add_events(db, append.run_key, events).events


def _touch_run(db: sqlite3.Connection, run_key: str, at_us: int) -> None:
    db.execute("UPDATE run SET last_modified_us = ? WHERE run_key = ?", (at_us, run_key))


def _usage_row(append: Append) -> tuple[int, int, int, int]:
    usage = append.usage
    return (
        (0, 0, 0, 0) if usage is None else (usage.wall_us, usage.cpu_us, usage.peak_rss_bytes, usage.actions)
    )


def remove(db: sqlite3.Connection, run_key: str, request: StoredRequest | None = None) -> None:
    """Delete a run; what refers to it goes with it."""
    if request is not None:
        insert_request(db, request)
    remove_words(db, run_key)
    db.execute("DELETE FROM run WHERE run_key = ?", (run_key,))
    db.execute("DELETE FROM request WHERE run_key = ?", (run_key,))


def _advance(db: sqlite3.Connection, write: Append | Rewind, seq: int) -> int:
    """Move the head, if epoch and head are what the writer believes; gives the number of the last event."""
    usage = _usage_row(write) if isinstance(write, Append) else (0, 0, 0, 0)
    moved = db.execute(
        _ADVANCE_ONE,
        (
            *(seq, write.at_us, write.at_us, len(write.events), *usage),
            *(write.run_key, write.epoch, write.head_seq),
        ),
    ).fetchall()
    if moved:
        return int(moved[0][0])
    found = db.execute("SELECT epoch, seq FROM run WHERE run_key = ?", (write.run_key,)).fetchall()
    if not found:
        raise rules.run_not_found(write.run_key)
    raise rules.fenced(write, current_epoch=found[0][0], current_seq=found[0][1])


def _event_heads(db: sqlite3.Connection, run_keys: Sequence[str]) -> dict[str, int]:
    """The highest event number of each run."""
    if not run_keys:
        return {}
    ((heads,),) = db.execute(_EVENT_HEADS, (json.dumps(run_keys),)).fetchall()
    found: dict[str, int] = json.loads(heads)
    return found


def _insert_events(db: sqlite3.Connection, events: Sequence[StoredEvent]) -> None:
    _INSERT_EVENTS(db, [event_to_row(event) for event in events])


def _insert_entries(db: sqlite3.Connection, run_key: str, entries: tuple[LogEntry, ...]) -> None:
    _INSERT_ENTRIES(db, [entry_to_row(run_key, entry) for entry in entries])


def _write_variables(db: sqlite3.Connection, run_key: str, records: Mapping[str, bytes]) -> None:
    _WRITE_VARIABLES(db, [value_to_row(run_key, name, value) for name, value in records.items()])


def _write_metadata(db: sqlite3.Connection, run_key: str, values: Mapping[str, Any]) -> None:
    _WRITE_METADATA(db, [metadata_to_row(run_key, name, pack(value)) for name, value in values.items()])
