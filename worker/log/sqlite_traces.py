"""What actions took and changed: statements on the table ``trace``, inside a transaction of the caller's."""

import sqlite3
from collections.abc import Iterable

from worker.log import rules
from worker.log.base import Append
from worker.log.sqlite_bulk import BulkStatement

_INSERT = BulkStatement("INSERT INTO trace (run_key, seq, trace) VALUES {rows}", columns=3)


def insert_traces(db: sqlite3.Connection, appends: Iterable[Append]) -> None:
    """Add the traces that appends carry."""
    _INSERT(db, [(item.run_key, seq, trace) for item in appends for seq, trace in item.traces])


def drop_traces(db: sqlite3.Connection, run_key: str, after_seq: int) -> None:
    """Delete the traces of entries that are being deleted."""
    db.execute("DELETE FROM trace WHERE run_key = ? AND seq > ?", (run_key, after_seq))


def read_traces(
    db: sqlite3.Connection, run_key: str, after_seq: int, limit: int, max_bytes: int
) -> list[str]:
    """Traces behind ``after_seq``, in order; as ``ActionLog.read_traces`` tells."""
    rows = db.execute(
        "SELECT trace FROM trace WHERE run_key = ? AND seq > ? ORDER BY seq LIMIT ?",
        (run_key, after_seq, limit),
    )
    found = [trace for (trace,) in rules.within_bytes(rows, max_bytes)]
    rows.close()
    return found
