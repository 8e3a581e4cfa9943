"""The outbox in SQLite: statements on the table ``delivery``, and the port over the store's threads."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Final

from protocol.entities import RunStatus
from worker.log.base import StoredRequest
from worker.log.outbox import DeliveryQuery, DueDeliveries
from worker.runs.deliveries import Delivery, DeliveryState, Settled

LOOK_ROWS: Final = 256
LOOK_TARGETS: Final = 256
"""How many rows, and behind them targets, are looked at for what may be sent: a moment's work, whatever waits."""
_FIELDS: Final = tuple(one.name for one in fields(Delivery))
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
_DUE: Final = "SELECT rowid, run_key, target_key FROM delivery WHERE next_us <= ? ORDER BY next_us LIMIT ?"
_NEXT_TARGET: Final = "SELECT min(target_key) FROM delivery WHERE next_us IS NOT NULL AND target_key > ?"
_DUE_OF_TARGET: Final = (
    "SELECT rowid, run_key, target_key FROM delivery WHERE target_key = ? AND next_us <= ?"
    " ORDER BY next_us LIMIT ?"
)
_CHOSEN: Final = (
    f"SELECT {_COLUMNS} FROM delivery WHERE rowid IN (SELECT value FROM json_each(?)) ORDER BY next_us"  # noqa: S608 - of our own texts
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


@dataclass(slots=True)
class _Choice:
    """Rows to send: those that come by and may be, until there are enough."""

    limit: int
    without_runs: Collection[str]
    without_targets: Collection[str]
    rows: dict[int, None] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= self.limit

    def offer(self, found: Sequence[tuple[int, str, str]]) -> None:
        for row, run_key, target_key in found:
            if self.is_full:
                return
            if run_key not in self.without_runs and target_key not in self.without_targets:
                self.rows[row] = None


def due(
    db: sqlite3.Connection,
    at_us: int,
    *,
    limit: int,
    without_runs: Collection[str],
    without_targets: Collection[str],
    after_target: str = "",
) -> tuple[DueDeliveries, str]:
    """What may be sent, and when the next may; and the target to go on behind, the next time.

    What has waited longest comes first. Where that is all of targets that have enough, targets take turns: nobody waits
    behind the thousands of one that is down, and they are not looked through.
    """
    choice = _Choice(limit, set(without_runs), set(without_targets))
    first = db.execute(_DUE, (at_us, LOOK_ROWS)).fetchall()
    choice.offer(first)
    if len(first) == LOOK_ROWS and not choice.is_full:
        after_target = _offer_by_target(db, at_us, choice, after_target)
    rows = db.execute(_CHOSEN, (json.dumps(list(choice.rows)),)).fetchall()
    ((next_us,),) = db.execute(_NEXT, (at_us,)).fetchall()
    return DueDeliveries(tuple(map(_from_row, rows)), next_us), after_target


def _offer_by_target(db: sqlite3.Connection, at_us: int, choice: _Choice, after_target: str) -> str:
    """Offer some of each of the next targets; gives the last one."""
    room = choice.limit + len(choice.without_runs)
    for _ in range(LOOK_TARGETS):
        ((found,),) = db.execute(_NEXT_TARGET, (after_target,)).fetchall()
        after_target = found or ""  # behind the last one comes the first
        if found and found not in choice.without_targets:
            choice.offer(db.execute(_DUE_OF_TARGET, (found, at_us, room)).fetchall())
        if choice.is_full:
            break
    return after_target


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
    """Implements ``Outbox`` over a store's threads; ``search``: that for reads which may take a while."""

    def __init__(self, read: Read, search: Read, write: Write, store_request: StoreRequest) -> None:
        self._read = read
        self._search = search
        self._after_target = ""
        self._write = write
        self._store_request = store_request
        self._listener: Callable[[], None] | None = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when a new run has something to be told."""
        self._listener = listener

    def added(self) -> None:
        """A new run has something to be told."""
        if self._listener is not None:
            self._listener()

    async def due(
        self, at_us: int, *, limit: int, without_runs: Collection[str], without_targets: Collection[str]
    ) -> DueDeliveries:
        """What may be sent, and when the next may."""
        asked = partial(
            due,
            at_us=at_us,
            limit=limit,
            without_runs=without_runs,
            without_targets=without_targets,
            after_target=self._after_target,
        )
        found: DueDeliveries
        found, self._after_target = await self._read(asked)
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
        found: list[Delivery] = await self._search(partial(find, query=query))
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
        found: dict[str, int] = await self._search(counts)
        return found
