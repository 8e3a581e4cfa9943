"""Searches for runs by their profiles as SQL.

Where an index gives few runs, these are judged, counted and sorted. Else runs are judged in the order of the sort
until the page is full, and counted by what is kept for that (``sqlite_tally``), or one by one where nothing is.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from worker.channel import unpack
from worker.log import rules
from worker.log.rows import PROFILE_FIELDS, profile_from_row, run_from_row
from worker.log.searching import FoundProfile, ProfilePage
from worker.log.sqlite_asked import COLUMNS, Driver, Sql, driver_for, marks, rare_parts, together
from worker.log.sqlite_query import where_of
from worker.log.sqlite_tally import tallied
from worker.runs.checks import Ranged, Within
from worker.runs.query import Asked, Every, Node, Not, Some, Test
from worker.runs.search import LARGE, ProfileQuery, Reader

FEW_RUNS: Final = 10_000
"""To judge and sort a run costs about 10 µs."""
BROAD: Final = 300_000
"""How far the runs of an index are counted, to find out which of several to follow."""

_WALKS: Final = {"updated_at": "run_by_modified", "created_at": "run_by_created"}
"""Indexes that give runs in the order of a field."""
_RUN: Final = "run ON run.run_key = {}.run_key"
_PROFILE: Final = "profile ON profile.run_key = {}.run_key"


def search(db: sqlite3.Connection, query: ProfileQuery) -> ProfilePage:
    """The page that a query asks for, and the number of all matches, both of one moment."""
    db.execute("BEGIN")
    try:
        rows = db.execute(*page_sql(db, query)).fetchall()
        if rows and rows[0][1] is not None:
            total = int(rows[0][1])
        elif len(rows) < query.count and (rows or not query.first):
            total = query.first + len(rows)
        else:
            total = total_of(db, query)
        found = _found(db, query, [run_key for run_key, *_ in rows])
        return ProfilePage(total, tuple(rules.profiles_within_bytes(found, query.max_bytes)))
    finally:
        db.execute("COMMIT")


def page_sql(db: sqlite3.Connection, query: ProfileQuery) -> Sql:
    """The statement that gives ``run_key`` of each run of the page, in order, and ``total`` or NULL."""
    driver = driver_of(db, query, FEW_RUNS)
    text, values = walk_sql(query) if driver is None else few_sql(query, driver)
    return f"{text} LIMIT ? OFFSET ?", [*values, query.count, query.first]


def condition_of(query: ProfileQuery) -> Sql:
    """Whether the run of the rows ``profile`` and ``run`` is what a query asks for, by looking at it."""
    parts: list[Sql] = [("+profile.project = ?", [query.project])]
    if query.test is not None:
        parts.append(("+profile.test = ?", [query.test]))
    if query.reader is not None:
        parts.append(_seen(query.reader))
    parts.append(where_of(query.where, few=True))
    return " AND ".join(text for text, _ in parts), [value for _, values in parts for value in values]


def _seen(reader: Reader) -> Sql:
    locks, own = sorted(reader.locks), sorted(reader.own_locks)
    seen = f"+run.read_lock IN ({marks(locks)})"
    if reader.user_key is None:
        return seen, locks
    text = f"({seen} OR (+run.user_key = ? AND +run.read_lock IN ({marks(own)})))"
    return text, [*locks, reader.user_key, *own]


def _readable(reader: Reader, project: str) -> Driver:
    """The runs that somebody may read."""
    keys = f"SELECT run_key FROM run WHERE project = ? AND read_lock IN ({marks(reader.locks)})"  # noqa: S608 - of our own texts
    values: list[Any] = [project, *sorted(reader.locks)]
    if reader.user_key is not None:
        keys += " UNION SELECT run_key FROM run WHERE project = ? AND user_key = ?"
        values += [project, reader.user_key]
    return Driver(f"({keys}) AS chosen", "TRUE", values)


def few_sql(query: ProfileQuery, driver: Driver) -> Sql:
    """The statement that gives ``run_key`` and ``total`` of the runs that ``driver`` gives and a query asks for."""
    named = [f"{COLUMNS[key.field]} AS by{number}" for number, key in enumerate(query.sort)]
    source, values = matching_sql(query, driver, ["run.run_key AS run_key", *named], with_run=True)
    order = _order(query, [f"by{number}" for number in range(len(named))], "run_key")
    text = (
        f"WITH matching AS MATERIALIZED ({source}) SELECT run_key, (SELECT count(*) FROM matching) AS total"  # noqa: S608 - of our own texts
        f" FROM matching ORDER BY {order}"
    )
    return text, values


def matching_sql(
    query: ProfileQuery, driver: Driver | None, columns: Sequence[str], *, with_run: bool = False
) -> Sql:
    """The statement that gives columns of each matching run, in no order; from ``driver`` where there is one.

    ``with_run``: the columns are of ``run``, too; where nothing is, that table is left alone.
    """
    if driver is None:
        driver = Driver("profile", "profile.project = ?", [query.project])
    tables = [driver.table]
    if driver.name != "profile":
        tables.append(_PROFILE.format(driver.name))
    if driver.name != "run" and (with_run or query.reader is not None or _asks_run(query.where)):
        tables.append(_RUN.format("profile"))
    condition, values = condition_of(query)
    text = (
        f"SELECT {', '.join(columns)} FROM {' CROSS JOIN '.join(tables)} WHERE {driver.where} AND {condition}"  # noqa: S608 - of our own texts
    )
    return text, [*driver.values, *values]


def _asks_run(node: Node) -> bool:
    match node:
        case Asked():
            return COLUMNS.get(node.field.name, "").lstrip("(").startswith("run.")
        case Not():
            return _asks_run(node.test)
        case Every() | Some():
            return any(_asks_run(part) for part in node.parts)
        case Test():
            return True


def walk_sql(query: ProfileQuery) -> Sql:
    """The statement that gives ``run_key`` in the order of the sort, from an index that has it where one does."""
    condition, values = condition_of(query)
    first = query.sort[0].field
    if first == "name":
        table, project = "profile INDEXED BY profile_by_name", "profile.project"
        joined = _RUN.format("profile")
    else:
        index = f" INDEXED BY {_WALKS[first]}" if first in _WALKS else ""
        table, project, joined = f"run{index}", "run.project", _PROFILE.format("run")
    order = _order(query, [COLUMNS[key.field] for key in query.sort], "run.run_key")
    text = (
        f"SELECT run.run_key AS run_key, NULL AS total FROM {table} CROSS JOIN {joined} WHERE {project} = ? AND {condition}"  # noqa: S608 - of our own texts
        f" ORDER BY {order}"
    )
    return text, [query.project, *values]


def _order(query: ProfileQuery, columns: Sequence[str], run_key: str) -> str:
    directions = ["DESC" if key.descending else "ASC" for key in query.sort]
    keys = [f"{column} {direction}" for column, direction in zip(columns, directions, strict=True)]
    return ", ".join([*keys, f"{run_key} DESC"])


def driver_of(db: sqlite3.Connection, query: ProfileQuery, most: int) -> Driver | None:
    """The index that gives fewest runs; None where each gives more than ``most``."""
    conditions = list(_conjuncts(query.where))
    asked = [one for one in conditions if isinstance(one, Asked)]
    best, most = _fewest(db, (driver for one in asked for driver in rare_parts(one)), None, most)
    drivers = [
        None
        if best is not None
        and isinstance(one, Asked)
        and isinstance(one.check, Within)
        and one.field.name == "name"
        else _driver(one, query.project)
        for one in conditions
    ]
    drivers += _between(asked, query.project)
    if query.reader is not None:
        drivers.append(_readable(query.reader, query.project))
    return _fewest(db, drivers, best, most)[0]


def _fewest(
    db: sqlite3.Connection, drivers: Iterable[Driver | None], best: Driver | None, most: int
) -> tuple[Driver | None, int]:
    """Of ``best``, which gives ``most``, and others that which gives fewest, and how many."""
    for driver in drivers:
        if driver is not None:
            ((count,),) = db.execute(*driver.counted(most)).fetchall()
            if count <= most:
                best, most = driver, int(count)
    return best, most


def _between(asked: Sequence[Asked], project: str) -> Iterator[Driver]:
    """What an index gives between two bounds of one field, each of which may leave too many."""
    ranges = [one for one in asked if isinstance(one.check, Ranged)]
    for number, lower in enumerate(ranges):
        for upper in ranges[:number]:
            drivers = driver_for(lower, project), driver_for(upper, project)
            if (
                lower.field is upper.field
                and drivers[0]
                and drivers[1]
                and drivers[0].table in ("run", "profile")
            ):
                where = f"{drivers[0].where} AND {drivers[1].where}"
                yield Driver(drivers[0].table, where, [*drivers[0].values, *drivers[1].values])


def _driver(node: Node, project: str) -> Driver | None:
    """What indexes give of the runs that a condition leaves; where one of several must hold, those of each."""
    match node:
        case Asked():
            return driver_for(node, project)
        case Every():
            return next((found for part in node.parts if (found := _driver(part, project))), None)
        case Some():
            drivers = [found for part in node.parts if (found := _driver(part, project))]
            return together(drivers) if drivers and len(drivers) == len(node.parts) else None
        case _:
            return None


def _conjuncts(node: Node) -> Iterator[Node]:
    """What must hold of each run."""
    if isinstance(node, Every):
        for part in node.parts:
            yield from _conjuncts(part)
    else:
        yield node


def total_of(db: sqlite3.Connection, query: ProfileQuery) -> int:
    """How many runs match."""
    total = tallied(db, query)
    if total is None:
        return _count(db, query, driver_of(db, query, BROAD))
    own = own_query(query)
    return total if own is None else total + _count(db, own, own_runs(own))


def own_query(query: ProfileQuery) -> ProfileQuery | None:
    """The query for what is seen only because it is the user's own."""
    reader = None if query.reader is None else query.reader.own_only
    return None if reader is None else replace(query, reader=reader)


def own_runs(query: ProfileQuery) -> Driver:
    """A user's runs."""
    user_key = None if query.reader is None else query.reader.user_key
    return Driver("run", "run.project = ? AND run.user_key = ?", [query.project, user_key])


def _count(db: sqlite3.Connection, query: ProfileQuery, driver: Driver | None) -> int:
    text, values = matching_sql(query, driver, ["count(*)"])
    ((count,),) = db.execute(text, values).fetchall()
    return int(count)


def _found(db: sqlite3.Connection, query: ProfileQuery, run_keys: Sequence[str]) -> Iterator[FoundProfile]:
    """The runs of these keys, each read when it is needed."""
    columns = ", ".join(name for name in PROFILE_FIELDS if query.whole or name not in LARGE)
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    for run_key in run_keys:
        (run,) = cursor.execute("SELECT * FROM run WHERE run_key = ?", (run_key,)).fetchall()
        profile = cursor.execute(
            f"SELECT {columns} FROM profile WHERE run_key = ?",  # noqa: S608 - of our own texts
            (run_key,),
        ).fetchone()
        values = db.execute("SELECT name, value FROM metadata WHERE run_key = ?", (run_key,)).fetchall()
        metadata = {name: unpack(value) for name, value in values}
        yield FoundProfile(run_from_row(run), profile_from_row(profile), metadata)
