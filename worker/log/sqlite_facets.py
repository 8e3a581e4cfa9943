"""How often the values of fields occur among runs, as SQL: from what is kept where all runs are meant, else counted."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

from worker.log.rows import FALSE, OPAQUE_VALUE, TRUE
from worker.log.sqlite_asked import COLUMNS, Sql
from worker.log.sqlite_search import BROAD, driver_of, matching_sql, own_query, own_runs, total_of
from worker.log.sqlite_tally import NONE, tally_condition
from worker.runs.comparison import MAX_TEXT
from worker.runs.fields import Place
from worker.runs.query import EVERYTHING
from worker.runs.search import MAX_BUCKETS, Counted, FacetCounts, ProfileQuery, Scalar

_TOP: Final = "SELECT {facet}, value, sum(runs) AS runs FROM ({source}) GROUP BY value ORDER BY runs DESC, value LIMIT ?"
_TAGS: Final = (
    "SELECT tag.tag AS value, count(*) AS runs FROM {matching} LEFT JOIN tag USING (run_key) GROUP BY 1"
)
_METADATA: Final = """SELECT value, count(*) AS runs FROM (
    SELECT metadata.scalar AS value FROM {matching} CROSS JOIN metadata USING (run_key)
    WHERE metadata.name = ? AND metadata.scalar <> ?
    UNION ALL SELECT value FROM {members}
) GROUP BY value UNION ALL
SELECT NULL, (SELECT count(*) FROM {matching})
    - (SELECT count(*) FROM {matching} CROSS JOIN metadata USING (run_key) WHERE metadata.name = ? AND metadata.scalar <> ?)
    - (SELECT count(DISTINCT run_key) FROM {members})"""
_MEMBERS: Final = """SELECT DISTINCT metadata.run_key AS run_key,
    CASE member.type WHEN 'true' THEN ? WHEN 'false' THEN ? ELSE member.atom END AS value
FROM {matching} CROSS JOIN metadata USING (run_key)
    CROSS JOIN json_each(CASE json_type(metadata.document) WHEN 'array' THEN metadata.document END) AS member
WHERE metadata.name = ? AND metadata.scalar = ? AND (member.type IN ('true', 'false', 'integer', 'real')
    OR (member.type = 'text' AND length(member.atom) <= ? AND instr(member.atom, char(0)) = 0))"""


def count_facets(db: sqlite3.Connection, query: ProfileQuery, places: Sequence[Place]) -> FacetCounts:
    """How many runs match, and how often each field has which values among them; all of one moment."""
    db.execute("BEGIN")
    try:
        rows = [row for statement in facets_sql(db, query, places) for row in db.execute(*statement)]
        totals = [row[2] for row in rows if row[0] < 0]
        found = tuple(_buckets([row for row in rows if row[0] == number]) for number in range(len(places)))
        return FacetCounts(int(totals[0]) if totals else total_of(db, query), found)
    finally:
        db.execute("COMMIT")


def facets_sql(db: sqlite3.Connection, query: ProfileQuery, places: Sequence[Place]) -> Iterator[Sql]:
    """Statements that give ``facet`` (its number), ``value`` and ``runs``, perhaps with facet -1: how many match."""
    is_kept = [query.where == EVERYTHING and not place.path for place in places]
    for number, place in enumerate(places):
        if is_kept[number]:
            yield _kept(query, number, place)
    if not all(is_kept):
        yield _counted(db, query, [place for place in enumerate(places) if not is_kept[place[0]]])


def _kept(query: ProfileQuery, number: int, place: Place) -> Sql:
    condition, values = tally_condition(query, place.field.name)
    source = f"SELECT nullif(value, ?) AS value, runs FROM tally WHERE {condition}"  # noqa: S608 - of our own texts
    values = [NONE, *values]
    matching, own = "", own_query(query)
    if own is not None:
        text, own_values = matching_sql(own, own_runs(own), _columns([(number, place)]))
        matching = f"WITH matching AS MATERIALIZED ({text}) "
        source = f"{source} UNION ALL {_source(number, place)[0]}"
        values = [*own_values, *values]
    return matching + _TOP.format(facet=number, source=source), [*values, MAX_BUCKETS + 1]


def _counted(db: sqlite3.Connection, query: ProfileQuery, places: Sequence[tuple[int, Place]]) -> Sql:
    """In one pass over the runs that match."""
    of_run = any(COLUMNS.get(place.field.name, "").startswith("run.") for _, place in places)
    driver = driver_of(db, query, BROAD)
    matching, values = matching_sql(query, driver, _columns(places), with_run=of_run)
    parts = []
    for number, place in places:
        source, given = _source(number, place)
        top = _TOP.format(facet=number, source=source)
        parts.append(f"SELECT * FROM ({top})")  # noqa: S608 - of our own texts
        values = [*values, *given, MAX_BUCKETS + 1]
    parts.append("SELECT -1, NULL, count(*) FROM matching")
    return f"WITH matching AS MATERIALIZED ({matching}) {' UNION ALL '.join(parts)}", values


def _columns(places: Sequence[tuple[int, Place]]) -> list[str]:
    """What is taken of each matching run."""
    plain = [f"{COLUMNS[place.field.name]} AS value{number}" for number, place in places if _is_plain(place)]
    return ["profile.run_key AS run_key", *plain]


def _is_plain(place: Place) -> bool:
    return not place.path and place.field.name != "tags"


def _source(number: int, place: Place) -> Sql:
    """The statement that gives ``value`` and ``runs`` of the runs in ``matching``."""
    if _is_plain(place):
        return f"SELECT value{number} AS value, count(*) AS runs FROM matching GROUP BY 1", []  # noqa: S608 - of our own texts
    if not place.path:
        return _TAGS.format(matching="matching"), []
    (name,) = place.path
    given: list[Any] = [TRUE, FALSE, name, OPAQUE_VALUE, MAX_TEXT]
    members = _MEMBERS.format(matching="matching")
    text = _METADATA.format(matching="matching", members=f"({members})")
    return text, [name, OPAQUE_VALUE, *given, name, OPAQUE_VALUE, *given]


def _buckets(rows: Sequence[tuple[int, Any, int]]) -> Counted:
    told = tuple((_scalar(value), int(runs)) for _, value, runs in rows if runs)
    return Counted(told[:MAX_BUCKETS], len(told) > MAX_BUCKETS)


def _scalar(value: Any) -> Scalar:
    """A value as it was stored; a number without a fraction is an integer."""
    if isinstance(value, bytes):
        return value == TRUE
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    scalar: Scalar = value
    return scalar
