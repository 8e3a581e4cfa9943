"""Requests that took effect: statements on the table ``request``, inside a transaction of the caller's."""

import sqlite3
from collections.abc import Sequence

from worker.errors import DuplicateRequestError
from worker.log import rules
from worker.log.base import StoredRequest
from worker.log.rows import request_to_row
from worker.log.sqlite_bulk import BulkStatement
from worker.log.sqlite_reads import entry_outcomes

_INSERT_REQUESTS = BulkStatement(
    "INSERT INTO request (request_id, run_key, digest, first_seq, last_seq, result)"
    " VALUES {rows} ON CONFLICT DO NOTHING",
    columns=6,
)


def insert_requests(db: sqlite3.Connection, requests: Sequence[StoredRequest]) -> bool:
    """Store requests that have their answers; whether all of them are new."""
    return _INSERT_REQUESTS(db, [request_to_row(request) for request in requests]) == len(requests)


def insert_request(db: sqlite3.Connection, request: StoredRequest) -> None:
    """Store a request that has its answer; raises DuplicateRequestError."""
    if not insert_requests(db, [request]):
        raise DuplicateRequestError(request.request_id, request.run_key)


def refuse_duplicate(db: sqlite3.Connection, request: StoredRequest) -> None:
    """Before an edit runs, so that a repetition never reaches it."""
    found = db.execute(
        "SELECT 1 FROM request WHERE request_id = ? AND run_key = ?", (request.request_id, request.run_key)
    )
    if found.fetchall():
        raise DuplicateRequestError(request.request_id, request.run_key)


def keep_answers(db: sqlite3.Connection, run_key: str, to_seq: int) -> None:
    """Store the answers of requests whose entries are about to be deleted."""
    losing = db.execute(
        "SELECT request_id, first_seq, last_seq FROM request"
        " WHERE run_key = ? AND last_seq > ? AND result IS NULL",
        (run_key, to_seq),
    ).fetchall()
    db.executemany(
        "UPDATE request SET result = ? WHERE request_id = ? AND run_key = ?",
        [
            (rules.pack_outcomes(entry_outcomes(db, run_key, first, last)), request_id, run_key)
            for request_id, first, last in losing
        ],
    )
