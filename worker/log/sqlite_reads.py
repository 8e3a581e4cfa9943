"""The reads. Every cursor is exhausted before a function returns, so that none holds back a checkpoint."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from worker.channel import unpack
from worker.log import rules
from worker.log.base import StoredEvent, StoredRequest
from worker.log.rows import entry_from_row, event_from_row, request_from_row, run_from_row
from worker.runs.history import PAGE_BYTES, LogEntry, Replayable
from worker.runs.record import RunRecord


def get_run(db: sqlite3.Connection, run_key: str) -> RunRecord | None:
    """The run's row."""
    return first_run(db, "SELECT * FROM run WHERE run_key = ?", run_key)


def first_run(db: sqlite3.Connection, sql: str, *parameters: Any) -> RunRecord | None:
    """The run that a statement returns, or None."""
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    rows = cursor.execute(sql, parameters).fetchall()
    return run_from_row(rows[0]) if rows else None


def count_runs(db: sqlite3.Connection) -> int:
    """How many runs there are."""
    ((count,),) = db.execute("SELECT count(*) FROM run").fetchall()
    return int(count)


def read_entries(
    db: sqlite3.Connection, run_key: str, after_seq: int, limit: int, max_bytes: int
) -> list[LogEntry]:
    """At most ``limit`` entries behind ``after_seq``, in order."""
    rows = db.execute(
        "SELECT seq, epoch, kind, at_us, action, actor, status, outcome, digest, request_id, batch, rewound_by,"
        " answers"
        " FROM entry WHERE run_key = ? AND seq > ? ORDER BY seq LIMIT ?",
        (run_key, after_seq, limit),
    )
    found = [*rules.within_bytes(map(entry_from_row, rows), max_bytes, rules.entry_bytes)]
    rows.close()
    return found


def read_replayable(
    db: sqlite3.Connection, run_key: str, after_seq: int, through_seq: int, limit: int
) -> list[Replayable]:
    """At most ``limit`` actions that no rewind took back, behind ``after_seq`` up to ``through_seq``, in order."""
    rows = db.execute(
        "SELECT seq, at_us, actor, action, answers, digest, status FROM entry"
        " WHERE run_key = ? AND seq > ? AND seq <= ? AND rewound_by IS NULL AND kind IN ('execute', 'set')"
        " ORDER BY seq LIMIT ?",
        (run_key, after_seq, through_seq, limit),
    )
    found = [*rules.within_bytes(rows, PAGE_BYTES, rules.replayable_bytes)]
    rows.close()
    return found


def read_events(
    db: sqlite3.Connection, run_key: str, after_event: int, limit: int, max_bytes: int
) -> tuple[list[StoredEvent], int]:
    """Events behind ``after_event`` and the highest number; as ``EventLog.read_events`` tells."""
    rows = db.execute(
        "SELECT event, kind, at_us, body FROM event WHERE run_key = ? AND event > ? ORDER BY event LIMIT ?",
        (run_key, after_event, limit),
    )
    found = [event_from_row(run_key, row) for row in rules.within_bytes(rows, max_bytes)]
    rows.close()
    # Read last, so that it is never less than the number of an event above.
    heads = db.execute("SELECT event FROM run WHERE run_key = ?", (run_key,)).fetchall()
    return found, int(heads[0][0]) if heads else 0


def find_request(db: sqlite3.Connection, request_id: str) -> list[StoredRequest]:
    """Everything recorded under a request id, ordered by run key."""
    rows = db.execute(
        "SELECT request_id, run_key, digest, first_seq, last_seq, result FROM request"
        " WHERE request_id = ? ORDER BY run_key",
        (request_id,),
    )
    return [request_from_row(row) for row in rows.fetchall()]


def read_outcomes(db: sqlite3.Connection, request: StoredRequest) -> rules.Outcomes:
    """The answer of an action request: its kept result, else its entries, both of one moment.

    What is stored now counts, not what the caller holds: a destructible rewind may have deleted the entries,
    and later ones may bear their numbers, since the caller looked the request up.
    """
    db.execute("BEGIN")
    try:
        stored = db.execute(
            "SELECT result FROM request WHERE request_id = ? AND run_key = ?",
            (request.request_id, request.run_key),
        ).fetchall()
        result = stored[0][0] if stored else request.result
        if result is not None:
            return rules.unpack_outcomes(request, result)
        return entry_outcomes(db, request.run_key, request.first_seq, request.last_seq)
    finally:
        db.execute("COMMIT")


def entry_outcomes(db: sqlite3.Connection, run_key: str, first_seq: int, last_seq: int) -> rules.Outcomes:
    """``(status, action, outcome)`` of a range of entries, in order."""
    rows = db.execute(
        "SELECT status, action, outcome FROM entry WHERE run_key = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        (run_key, first_seq, last_seq),
    )
    return rows.fetchall()


def read_variables(db: sqlite3.Connection, run_key: str, names: Sequence[str] | None) -> dict[str, bytes]:
    """Archived values by name."""
    if names is None:
        rows = db.execute("SELECT name, value FROM variable WHERE run_key = ?", (run_key,))
    else:
        rows = db.execute(
            "SELECT name, value FROM variable WHERE run_key = ? AND name IN (SELECT value FROM json_each(?))",
            (run_key, json.dumps(names)),
        )
    return dict(rows.fetchall())


def read_metadata(db: sqlite3.Connection, run_key: str, names: Sequence[str] | None) -> dict[str, Any]:
    """Metadata by name."""
    if names is None:
        rows = db.execute("SELECT name, value FROM metadata WHERE run_key = ?", (run_key,))
    else:
        rows = db.execute(
            "SELECT name, value FROM metadata WHERE run_key = ? AND name IN (SELECT value FROM json_each(?))",
            (run_key, json.dumps(names)),
        )
    return {name: unpack(value) for name, value in rows.fetchall()}
