"""Numbers of runs that are kept: of all runs of a project, by each value of the fields that are counted.

Triggers keep the table ``tally`` in step with every write. It tells apart what every search asks besides: whether
runs are tests, and who may read them. What a user may read beyond that is little, and is counted one by one.
"""

import sqlite3
from typing import Any, Final

from worker.log.sqlite_asked import Sql, marks
from worker.runs.checks import OneOf
from worker.runs.fields import COUNTED
from worker.runs.query import Asked, Every
from worker.runs.search import ProfileQuery

NONE: Final = b""
"""Stands in the table for a value that runs do not have."""
ALL_RUNS: Final = ""
"""The field that every run has, without a value."""


def tallied(db: sqlite3.Connection, query: ProfileQuery) -> int | None:
    """How many runs match, but for a user's own ones, where that is kept; None where it is not."""
    kept = _kept(query)
    if kept is None:
        return None
    field, wanted = kept
    condition, values = tally_condition(query, field)
    sql = f"SELECT ifnull(sum(runs), 0) FROM tally WHERE {condition} AND value IN ({marks(wanted)})"  # noqa: S608 - of our own texts
    ((count,),) = db.execute(sql, [*values, *wanted]).fetchall()
    return int(count)


def tally_condition(query: ProfileQuery, field: str) -> Sql:
    """The rows of a field that count for a query, but for its conditions and for a user's own runs."""
    parts = ["project = ?", "field = ?"]
    values: list[Any] = [query.project, field]
    if query.test is not None:
        parts.append("test = ?")
        values.append(query.test)
    if query.reader is not None:
        locks = sorted(query.reader.locks)
        parts.append(f"read_lock IN ({marks(locks)})")
        values += locks
    return " AND ".join(parts), values


def _kept(query: ProfileQuery) -> tuple[str, list[Any]] | None:
    """Field and values whose numbers make up the answer."""
    asked = query.where.parts if isinstance(query.where, Every) else (query.where,)
    if not asked:
        return ALL_RUNS, [NONE]
    one = asked[0]
    if len(asked) > 1 or not isinstance(one, Asked) or not isinstance(one.check, OneOf) or one.path:
        return None
    name, wanted = one.field.name, list(dict.fromkeys(one.check.values))
    if name == "parent" and wanted == [None]:
        return name, [NONE]
    if name not in COUNTED or not all(value is None or isinstance(value, str) for value in wanted):
        return None
    if name == "tags" and (len(wanted) > 1 or None in wanted):
        return None
    return name, [NONE if value is None else value for value in wanted]
