"""Queries over all runs as SQL. Texts are made of what stands here; what a caller gave are parameters.

A condition on a recorded value is asked for in one of two forms. Where the conditions on the run leave few of
them, each is looked up by its key. Else the index gives all runs with such a value, and these are looked up.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from protocol.entities import RunStatus
from worker.log import rules
from worker.log.base import FoundRun, RunPage
from worker.log.rows import FALSE, TRUE, run_from_row
from worker.log.sqlite_asked import check_of
from worker.runs.comparison import MAX_TEXT, ORDERING, Literal, Operator
from worker.runs.query import ATTRIBUTES, Asked, Every, Kind, Node, Not, RunQuery, Some, Source, Test
from worker.runs.record import RunRecord

FEW_RUNS: Final = 2000
"""A look-up by key costs about 2 µs, a step along an index 0.2 µs: ten times as many steps take as long."""

_TABLES: Final = {Source.VARIABLE: "variable", Source.METADATA: "metadata"}
_COLUMNS: Final = {
    **{name: f"run.{name}" for name in ATTRIBUTES},
    **{f"{name}": f"run.{name}_us" for name in ("created", "last_modified", "last_operated")},
    "write_lock": "json_extract(run.permit, '$.write_lock')",
    **{
        name: f"json_extract(run.address, '$.{name}')"
        for name in ("account_short_name", "project_short_name", "world_key")
    },
}
_HIGHEST: Final = "\U0010ffff" * (MAX_TEXT + 1)
"""Behind whatever a text in the index begins with, no text sorts after this."""
_INDEXED: Final = frozenset(
    {"run_key", "scope_key", "user_key", "tracking_key", "group_name", "model_file", "created"}
)

_Sql = tuple[str, list[Any]]
"""A condition, and its parameters in their order."""


def search(db: sqlite3.Connection, query: RunQuery) -> RunPage:
    """The page that a query asks for, and the number of all matches, both of one moment."""
    db.execute("BEGIN")
    try:
        few = _leaves_few(db, query)
        where, values = condition_of(query, few=few)
        keys = _rows(db, page_sql(query, where, few=few), [*values, query.count, query.first])
        runs = (_run(db, row["id"]) for row in keys)
        found = tuple(rules.page_within_bytes(_with_values(db, query, runs), query.max_bytes))
        if keys and _is_filtered(query):
            return RunPage(keys[0]["total"], found)
        ((total,),) = db.execute(f"SELECT count(*) FROM run WHERE {where}", values).fetchall()  # noqa: S608 - of our own texts
        return RunPage(int(total), found)
    finally:
        db.execute("COMMIT")


def page_sql(query: RunQuery, where: str, *, few: bool) -> str:
    """The statement that gives ``id`` and, of filtered runs, ``total``; its last parameters are limit and offset.

    Filtered runs are looked for once, to be counted and sorted. Few are found by the index that makes them few,
    not in the order of the sort (``+``). All runs are told in that order, from an index that has it.
    """
    columns = [_COLUMNS[key.attribute] for key in query.sort] + ["run.run_key"]
    directions = ["DESC" if key.descending else "ASC" for key in query.sort] + ["ASC"]
    if not _is_filtered(query):
        by = ", ".join(f"{column} {direction}" for column, direction in zip(columns, directions, strict=True))
        return f"SELECT run.rowid AS id FROM run WHERE {where} ORDER BY {by} LIMIT ? OFFSET ?"  # noqa: S608 - of our own texts
    sign = "+" if few else ""
    named = ", ".join(f"{sign}{column} AS by{number}" for number, column in enumerate(columns))
    by = ", ".join(f"by{number} {direction}" for number, direction in enumerate(directions))
    return (
        f"WITH matching AS MATERIALIZED (SELECT run.rowid AS id, {named} FROM run WHERE {where})"  # noqa: S608 - of our own texts
        f" SELECT id, (SELECT count(*) FROM matching) AS total FROM matching ORDER BY {by} LIMIT ? OFFSET ?"
    )


def condition_of(query: RunQuery, *, few: bool) -> _Sql:
    """The condition of a query; ``few`` as for ``where_of``.

    Where the index of a value gives the runs, ``+`` keeps the indexes of the project away: it may hold every run.
    """
    text, values = where_of(query.where, few=few)
    sign = "+" if not few and _needs_value(query.where) else ""
    return f"{sign}run.project = ? AND {text}", [query.project, *values]


def _needs_value(node: Node) -> bool:
    if isinstance(node, Every):
        return any(_needs_value(part) for part in node.parts)
    return isinstance(node, Test) and node.source is not Source.RUN


def _is_filtered(query: RunQuery) -> bool:
    return query.where != Every()


def where_of(node: Node, *, few: bool) -> _Sql:
    """The condition of a tree; ``few``: the conditions on the run leave few runs to look at."""
    match node:
        case Test():
            return _run_test(node) if node.source is Source.RUN else _value_test(node, few=few)
        case Asked():
            return check_of(node)
        case Not():
            text, values = where_of(node.test, few=few)
            return f"({text}) IS NOT TRUE", values
        case Every():
            return _joined(" AND ", node.parts, few=few) if node.parts else ("TRUE", [])
        case Some():
            return _joined(" OR ", node.parts, few=few) if node.parts else ("FALSE", [])


def _joined(word: str, parts: Sequence[Node], *, few: bool) -> _Sql:
    conditions = [where_of(part, few=few) for part in parts]
    text = word.join(text for text, _ in conditions)
    return f"({text})", [value for _, values in conditions for value in values]


def _rows(db: sqlite3.Connection, sql: str, values: list[Any]) -> list[sqlite3.Row]:
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(sql, values).fetchall()


def _run(db: sqlite3.Connection, rowid: int) -> tuple[RunRecord, RunStatus]:
    (row,) = _rows(
        db, "SELECT run.*, profile.status FROM run JOIN profile USING (run_key) WHERE run.rowid = ?", [rowid]
    )
    return run_from_row(row), RunStatus(row["status"])


def _with_values(
    db: sqlite3.Connection, query: RunQuery, runs: Iterable[tuple[RunRecord, RunStatus]]
) -> Iterator[FoundRun]:
    for run, status in runs:
        yield FoundRun(
            run,
            _values(db, Source.VARIABLE, run.run_key, query.variables),
            _values(db, Source.METADATA, run.run_key, query.metadata),
            status,
        )


def _values(
    db: sqlite3.Connection, source: Source, run_key: str, names: Sequence[str] | None
) -> dict[str, bytes]:
    if not names:
        return {}
    rows = db.execute(
        f"SELECT name, value FROM {_TABLES[source]} WHERE run_key = ?"  # noqa: S608 - of our own texts
        " AND name IN (SELECT value FROM json_each(?))",
        (run_key, json.dumps(names)),
    )
    return dict(rows.fetchall())


def _leaves_few(db: sqlite3.Connection, query: RunQuery) -> bool:
    """Whether the conditions that an index on runs answers, and that must hold, leave few of them."""
    parts = query.where.parts if isinstance(query.where, Every) else (query.where,)
    known = [part for part in parts if isinstance(part, Test) and _is_indexed(part)]
    if not known:
        return False
    where, values = condition_of(RunQuery(Every(tuple(known)), project=query.project), few=True)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM run WHERE {where} LIMIT ?)"  # noqa: S608 - of our own texts
    ((count,),) = db.execute(sql, [*values, FEW_RUNS + 1]).fetchall()
    return int(count) <= FEW_RUNS


def _is_indexed(test: Test) -> bool:
    return (
        test.source is Source.RUN
        and test.name in _INDEXED
        and test.operator not in (Operator.EXISTS, Operator.LIKE)
    )


def _run_test(test: Test) -> _Sql:
    column, kind, wanted = _COLUMNS[test.name], ATTRIBUTES[test.name].kind, test.wanted
    if test.operator is Operator.EXISTS:
        return f"{column} IS NOT NULL", []
    if test.operator is Operator.LIKE:
        return f"{column} GLOB ?", [_glob(wanted.text)]
    if kind is Kind.TIME:
        return _time_test(column, test.operator, wanted.at_ms or 0)
    value: Any = {Kind.TEXT: wanted.text, Kind.NUMBER: wanted.number, Kind.FLAG: wanted.truth}[kind]
    return f"{column} {test.operator.value} ?", [value]


def _time_test(column: str, operator: Operator, at_ms: int) -> _Sql:
    """A time in microseconds against one in milliseconds: the last microsecond of a millisecond is still within."""
    begin, end = at_ms * 1000, at_ms * 1000 + 999
    match operator:
        case Operator.EQUAL:
            return f"{column} BETWEEN ? AND ?", [begin, end]
        case Operator.MORE | Operator.AT_MOST:
            return f"{column} {operator.value} ?", [end]
        case _:
            return f"{column} {operator.value} ?", [begin]


def _value_test(test: Test, *, few: bool) -> _Sql:
    """A condition on a recorded value; ``+`` keeps the index by value away from a look-up by key."""
    table = _TABLES[test.source]
    column = "+scalar" if few else "scalar"
    text, values = _scalar_test(test.operator, test.wanted, column, "+at_ms" if few else "at_ms")
    if few:
        asked = f"EXISTS (SELECT 1 FROM {table} WHERE run_key = run.run_key AND name = ? AND {text})"  # noqa: S608 - of our own texts
    else:
        asked = f"run.run_key IN (SELECT run_key FROM {table} WHERE name = ? AND {text})"  # noqa: S608 - of our own texts
    return asked, [test.name, *values]


def _scalar_test(operator: Operator, wanted: Literal, scalar: str, at_ms: str) -> _Sql:
    """Numbers sort before texts and texts before bytes, so a range within texts ends at ``x''``."""
    if operator is Operator.EXISTS:
        return f"{scalar} IS NOT NULL", []
    if operator is Operator.LIKE:
        return _like_test(wanted.text, scalar)
    if wanted.at_ms is not None:
        return f"{at_ms} {operator.value} ?", [wanted.at_ms]
    if operator not in ORDERING:
        values: list[Any] = [wanted.text, *([] if wanted.number is None else [wanted.number])]
        values += [] if wanted.truth is None else [TRUE if wanted.truth else FALSE]
        return f"{scalar} IN ({','.join('?' * len(values))})", values
    if wanted.number is not None:
        return f"({scalar} {operator.value} ? AND {scalar} < '')", [wanted.number]
    if operator in (Operator.LESS, Operator.AT_MOST):
        return f"({scalar} >= '' AND {scalar} {operator.value} ?)", [wanted.text]
    return f"({scalar} {operator.value} ? AND {scalar} < x'')", [wanted.text]


def _like_test(pattern: str, scalar: str) -> _Sql:
    """The index gives what begins as the pattern does; the pattern itself decides."""
    begin = pattern.split("*", maxsplit=1)[0]
    return (
        f"({scalar} >= ? AND {scalar} <= ? AND {scalar} < x'' AND {scalar} GLOB ?)",
        [begin, begin + _HIGHEST, _glob(pattern)],
    )


def _glob(pattern: str) -> str:
    """SQLite's own pattern: there ``?`` and ``[`` have a meaning too."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
