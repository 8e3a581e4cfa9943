"""The profiles of runs: the statements on the tables ``profile`` and ``tag``, inside a transaction of the caller's."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from worker.channel import pack
from worker.log import rules
from worker.log.base import NewEvent, StoredRequest
from worker.log.rows import PROFILE_FIELDS, profile_from_row, profile_to_row
from worker.log.sqlite_outbox import add_delivery
from worker.log.sqlite_reads import read_metadata
from worker.log.sqlite_words import insert_words, rewrite_words
from worker.runs.deliveries import delivery_of
from worker.runs.profile import KEPT, FinishReason, RunProfile, StatusChange, changed
from worker.runs.status import UNFINISHED

_INSERT: Final = (
    f"INSERT INTO profile ({', '.join(PROFILE_FIELDS)})"  # noqa: S608 - of our own texts
    f" VALUES ({', '.join(f':{name}' for name in PROFILE_FIELDS)})"
)
_UPDATE: Final = (
    f"UPDATE profile SET {', '.join(f'{name} = :{name}' for name in PROFILE_FIELDS if name != 'run_key')}"  # noqa: S608 - of our own texts
    " WHERE run_key = :run_key"
)
_TURNED: Final = ("status", "status_seq", "finish_reason", "error")
_STANDING: Final = (
    "run_key", "project", "name", "status", "status_seq", "environment", "finish_reason", "error", "on_status_change",
    "course",
)  # fmt: skip
"""What a change of status looks at; the large columns stay where they are."""
_POSTPONE: Final = (
    "UPDATE profile SET expires_us = run.last_modified_us + profile.ttl_seconds * 1000000 FROM run"
    " WHERE profile.expires_us <= ? AND run.run_key = profile.run_key AND profile.ttl_seconds IS NOT NULL"
)
_READ_STANDING: Final = f"SELECT {', '.join(_STANDING)} FROM profile WHERE run_key = ?"  # noqa: S608 - of our own texts


def insert_profile(db: sqlite3.Connection, profile: RunProfile) -> None:
    """Add the profile of a run that was just added.

    Raises:
        FencedError: another run of its project has its id.
    """
    if profile.run_id is not None:
        found = find_run_id(db, profile.project, profile.run_id)
        if found is not None:
            raise rules.run_id_taken(profile, found)
    db.execute(_INSERT, profile_to_row(profile))
    _insert_tags(db, profile)
    insert_words(db, profile)


def read_profile(db: sqlite3.Connection, run_key: str) -> RunProfile | None:
    """The profile of a run."""
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    rows = cursor.execute("SELECT * FROM profile WHERE run_key = ?", (run_key,)).fetchall()
    return profile_from_row(rows[0]) if rows else None


def find_run_id(db: sqlite3.Connection, project: str, run_id: str) -> str | None:
    """The key of the run that has an id in a project."""
    rows = db.execute("SELECT run_key FROM profile WHERE project = ? AND run_id = ?", (project, run_id))
    found = rows.fetchall()
    return found[0][0] if found else None


def unfinished(db: sqlite3.Connection) -> list[str]:
    """The keys of runs that somebody waits for, oldest first."""
    states = ", ".join(f"'{status}'" for status in UNFINISHED)
    rows = db.execute(f"SELECT run_key FROM profile WHERE status IN ({states}) ORDER BY run_key")  # noqa: S608 - of our own texts
    return [run_key for (run_key,) in rows.fetchall()]


def take_expired(db: sqlite3.Connection, at_us: int, limit: int) -> list[str]:
    """The keys of at most ``limit`` runs whose time is over at ``at_us``, the first to end first.

    What moves a run does not move its end: that is done here, for those whose end seems to have come.
    """
    db.execute(_POSTPONE, (at_us,))
    rows = db.execute(
        "SELECT run_key FROM profile WHERE expires_us <= ? ORDER BY expires_us LIMIT ?", (at_us, limit)
    )
    return [run_key for (run_key,) in rows.fetchall()]


def next_expiry(db: sqlite3.Connection) -> int | None:
    """When the first run may end."""
    ((at_us,),) = db.execute("SELECT min(expires_us) FROM profile WHERE expires_us IS NOT NULL").fetchall()
    return None if at_us is None else int(at_us)


def change_status(db: sqlite3.Connection, run_key: str, changes: Sequence[StatusChange]) -> list[NewEvent]:
    """Apply changes in order, with what is to be delivered of them; gives the events to tell of them.

    Raises:
        RequestError: RUN_NOT_FOUND; IllegalStatusError: one may not follow.
    """
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    rows = cursor.execute(_READ_STANDING, (run_key,)).fetchall()
    if not rows:
        raise rules.run_not_found(run_key)
    if rows[0]["on_status_change"] is not None:  # what is delivered has more of the profile in it
        rows = cursor.execute("SELECT * FROM profile WHERE run_key = ?", (run_key,)).fetchall()
    first = old = profile_from_row(rows[0])
    columns = set(_TURNED)
    events: list[NewEvent] = []
    for change in changes:
        new = changed(old, change)
        events += rules.status_events(old, new, change)
        deliver(db, old, new, change.at_us)
        columns |= {
            name for name in ("result", "result_errors", "pending") if getattr(change, name) is not KEPT
        }
        old = new
    row = profile_to_row(old)
    sets = ", ".join(f"{name} = :{name}" for name in sorted(columns))
    db.execute(f"UPDATE profile SET {sets} WHERE run_key = :run_key", row)  # noqa: S608 - of our own texts
    if "result" in columns or (old.error, old.finish_reason) != (first.error, first.finish_reason):
        rewrite_words(db, run_key)
    return events


def deliver(db: sqlite3.Connection, old: RunProfile | None, new: RunProfile, at_us: int) -> None:
    """Write down who is to be told that a profile has changed from ``old``, or is new."""
    if new.on_status_change is not None:
        delivery = delivery_of(old, new, at_us, read_metadata(db, new.run_key, None))
        if delivery is not None:
            add_delivery(db, delivery)


def close_profile(db: sqlite3.Connection, run_key: str) -> None:
    """Nothing more comes of a run."""
    db.execute("UPDATE profile SET finish_reason = ? WHERE run_key = ?", (FinishReason.CLOSED.value, run_key))
    rewrite_words(db, run_key)


def update_profile(
    db: sqlite3.Connection,
    run_key: str,
    *,
    edit: Callable[[RunProfile], RunProfile],
    request: StoredRequest | None,
    render: Callable[[RunProfile], bytes] | None,
) -> tuple[RunProfile, RunProfile, StoredRequest | None]:
    """Replace a profile by its edited form; gives both, and the request to store."""
    old = read_profile(db, run_key)
    if old is None:
        raise rules.run_not_found(run_key)
    new = edit(old)
    rules.check_profile_edit(old, new)
    db.execute(_UPDATE, profile_to_row(new))
    if new.tags != old.tags:
        db.execute("DELETE FROM tag WHERE run_key = ?", (run_key,))
        _insert_tags(db, new)
    rewrite_words(db, run_key)
    if request is not None:
        request = replace(request, result=pack(None) if render is None else render(new))
    return old, new, request


def _insert_tags(db: sqlite3.Connection, profile: RunProfile) -> None:
    if profile.tags:
        db.execute(
            "INSERT INTO tag (run_key, project, tag) SELECT ?, ?, value FROM json_each(?)",
            (profile.run_key, profile.project, json.dumps(profile.tags)),
        )
