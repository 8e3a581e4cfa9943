"""The outbox in SQLite: statements on the table ``delivery``, and the port over the store's threads."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Collection
from dataclasses import fields
from functools import partial
from typing import Any, Final

from protocol.entities import RunStatus
from worker.log.base import StoredRequest
from worker.log.outbox import DeliveryQuery, DueDeliveries
from worker.runs.deliveries import Delivery, DeliveryState, Settled

_FIELDS: Final = tuple(field.name for field in fields(Delivery))
_COLUMNS: Final = ", ".join(_FIELDS)
_LISTED: Final = _COLUMNS.replace("body", "NULL AS body")
_FIRST_PENDING: Final = "(SELECT min(sequence) FROM delivery WHERE run_key = :run_key AND state = 'pending')"
_INSERT: Final = f"INSERT INTO delivery ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in _FIELDS)})"  # noqa: S608 - of our own texts
_SETTLE: Final = (
    "UPDATE delivery SET state = :state, attempt = :attempt, last_error = :error, next_us = :next_us,"
    " settled_us = :at_us, body = CASE :state WHEN 'delivered' THEN NULL ELSE body END"
    " WHERE delivery_id = :delivery_id AND state = 'pending' AND round = :round RETURNING run_key"
)
_REDELIVER: Final = (
    "UPDATE delivery SET attempt = CASE state WHEN 'dead' THEN 0 ELSE attempt END,"
    " round = round + (state = 'dead'), next_us = :at_us, state = 'pending', settled_us = NULL"
    " WHERE delivery_id = :delivery_id AND state <> 'delivered' RETURNING run_key"
)
_HOLD: Final = (
    "UPDATE delivery SET next_us = NULL"  # noqa: S608 - of our own texts
    f" WHERE run_key = :run_key AND state = 'pending' AND next_us IS NOT NULL AND sequence > {_FIRST_PENDING}"
)
_RELEASE: Final = (
    "UPDATE delivery SET next_us = :at_us"  # noqa: S608 - of our own texts
    f" WHERE run_key = :run_key AND state = 'pending' AND next_us IS NULL AND sequence = {_FIRST_PENDING}"
)
_DUE: Final = (
    f"SELECT {_COLUMNS} FROM delivery WHERE next_us <= ?"  # noqa: S608 - of our own texts
    " AND run_key NOT IN (SELECT value FROM json_each(?))"
    " AND target_key NOT IN (SELECT value FROM json_each(?)) ORDER BY next_us LIMIT ?"
)
_NEXT: Final = "SELECT min(next_us) FROM delivery WHERE next_us > ?"
_COUNT: Final = (
    "SELECT (SELECT count(*) FROM delivery WHERE state = 'pending'),"
    " (SELECT count(*) FROM delivery WHERE state = 'dead')"
)


def add_delivery(db: sqlite3.Connection, delivery: Delivery) -> None:
    """Add what is to be told, behind whatever of its run is pending."""
    db.execute(_INSERT, _to_row(delivery))
    _move_on(db, delivery.run_key, delivery.occurred_us)


def settle(db: sqlite3.Connection, settled: Settled) -> None:
    """Note what an attempt came to, and let the next one of the run go where it is over."""
    values = {name: getattr(settled, name) for name in ("attempt", "round", "at_us", "error", "next_us")}
    values |= {"delivery_id": settled.delivery_id, "state": settled.state.value}
    for (run_key,) in db.execute(_SETTLE, values).fetchall():
        _move_on(db, run_key, settled.at_us)


def redeliver(db: sqlite3.Connection, delivery_id: str, at_us: int) -> Delivery | None:
    """Begin a new round of what was given up, or send at once what is pending."""
    found = db.execute(_REDELIVER, {"delivery_id": delivery_id, "at_us": at_us}).fetchall()
    for (run_key,) in found:
        _move_on(db, run_key, at_us)
    return get_delivery(db, delivery_id)


def get_delivery(db: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    """One delivery."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM delivery WHERE delivery_id = ?", (delivery_id,))  # noqa: S608 - of our own texts
    return next(iter([_from_row(row) for row in rows.fetchall()]), None)


def due(
    db: sqlite3.Connection,
    at_us: int,
    *,
    limit: int,
    without_runs: Collection[str],
    without_targets: Collection[str],
) -> DueDeliveries:
    """What may be sent, and when the next may."""
    values = (at_us, json.dumps(list(without_runs)), json.dumps(list(without_targets)), limit)
    rows = db.execute(_DUE, values).fetchall()
    ((next_us,),) = db.execute(_NEXT, (at_us,)).fetchall()
    return DueDeliveries(tuple(map(_from_row, rows)), next_us)


def find(db: sqlite3.Connection, query: DeliveryQuery) -> list[Delivery]:
    """A page of deliveries without their bodies, newest first."""
    where, values = ["project = ?"], [query.project]
    if query.run_key is not None:
        where, values = ["run_key = ?"], [query.run_key]
    if query.state is not None:
        where.append(f"state = '{query.state.value}'")  # as a text, so that its partial index is used
    rows = db.execute(
        f"SELECT {_LISTED} FROM delivery WHERE {' AND '.join(where)}"  # noqa: S608 - of our own texts
        " ORDER BY occurred_us DESC, sequence DESC LIMIT ? OFFSET ?",
        (*values, query.count, query.first),
    )
    return [_from_row(row) for row in rows.fetchall()]


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """How many are pending and given up."""
    ((pending, dead),) = db.execute(_COUNT).fetchall()
    return {"pending": pending, "dead": dead}


def _move_on(db: sqlite3.Connection, run_key: str, at_us: int) -> None:
    """Of what is pending of a run, the first has a time and no other."""
    db.execute(_HOLD, {"run_key": run_key})
    db.execute(_RELEASE, {"run_key": run_key, "at_us": at_us})


def _to_row(delivery: Delivery) -> dict[str, Any]:
    row = {name: getattr(delivery, name) for name in _FIELDS}
    previous = delivery.previous_status
    return row | {
        "status": delivery.status.value,
        "previous_status": None if previous is None else previous.value,
        "state": delivery.state.value,
        "target": json.dumps(delivery.target, ensure_ascii=False, separators=(",", ":")),
    }


def _from_row(row: tuple[Any, ...]) -> Delivery:
    values = dict(zip(_FIELDS, row, strict=True))
    previous = values["previous_status"]
    values["status"] = RunStatus(values["status"])
    values["previous_status"] = None if previous is None else RunStatus(previous)
    values["state"] = DeliveryState(values["state"])
    values["target"] = json.loads(values["target"])
    return Delivery(**values)


Read = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Write = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
StoreRequest = Callable[[sqlite3.Connection, StoredRequest], None]


class SqliteOutbox:
    """Implements ``Outbox`` over a store's threads."""

    def __init__(self, read: Read, write: Write, store_request: StoreRequest) -> None:
        self._read = read
        self._write = write
        self._store_request = store_request

    async def due(
        self, at_us: int, *, limit: int, without_runs: Collection[str], without_targets: Collection[str]
    ) -> DueDeliveries:
        """What may be sent, and when the next may."""
        asked = partial(
            due, at_us=at_us, limit=limit, without_runs=without_runs, without_targets=without_targets
        )
        found: DueDeliveries = await self._read(asked)
        return found

    async def settle(self, settled: Settled) -> None:
        """Note what an attempt came to."""
        await self._write(partial(settle, settled=settled))

    async def get(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        found: Delivery | None = await self._read(partial(get_delivery, delivery_id=delivery_id))
        return found

    async def find(self, query: DeliveryQuery) -> list[Delivery]:
        """A page of deliveries."""
        found: list[Delivery] = await self._read(partial(find, query=query))
        return found

    async def redeliver(
        self, delivery_id: str, at_us: int, request: StoredRequest | None = None
    ) -> Delivery | None:
        """Send again what was given up."""

        def apply(db: sqlite3.Connection) -> Delivery | None:
            delivery = redeliver(db, delivery_id, at_us)
            if delivery is not None and request is not None:
                self._store_request(db, request)
            return delivery

        found: Delivery | None = await self._write(apply)
        return found

    async def counts(self) -> dict[str, int]:
        """How many are pending and given up."""
        found: dict[str, int] = await self._read(counts)
        return found
