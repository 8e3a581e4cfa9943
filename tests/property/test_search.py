"""Searches: SQL finds and counts what looking at every run does, and both what a plain reading of the rules does."""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.profiles import SearchQuery
from worker.errors import RequestError
from worker.log.base import Creation, Store
from worker.log.memory import MemoryStore
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_search import matching_sql
from worker.runs.documents import parse_document
from worker.runs.fields import counted_place
from worker.runs.profile import RunProfile
from worker.runs.query import EVERYTHING, Every, Node
from worker.runs.record import RunRecord
from worker.runs.search import MAX_BUCKETS, ProfileQuery, ProfileSort, Reader, search_tree

RUNS = 20
ABSENT = object()
PROJECTS = ("", "", "a/b")
TEXTS = (
    "",
    "a",
    "ab",
    "B",
    "1",
    "true",
    "null",
    "é",
    "Straße",
    "a_b",
    "2026-01-01T00:00:00Z",
    'a"b',
    "x y",
    "\U0010ffff",
)
NUMBERS = (0, 1, -1, 1.0, 1.5, 2, 10, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 1e300, -0.0, 0.1)
SCALARS = st.sampled_from([None, True, False, *TEXTS, *NUMBERS])
KEYS = ("a", "b", "0", "1", "x-y")


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(leaves, max_size=3) | st.dictionaries(st.sampled_from(KEYS), leaves, max_size=3)


VALUES = st.recursive(SCALARS, nested, max_leaves=6)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3)
NAMES = ("market: step 2026", "Market Straße", "ab", "x", "épée a_b", "foo-bar baz", 'a"b')
TAGS = st.lists(st.sampled_from(["a", "b", "B", "c d", ""]), max_size=3, unique=True)
TIMES = (0, 999, 1000, 1_767_225_600_000_000, 1_767_225_600_001_000)
LOCKS = ("PARTICIPANT", "USER", "AUTHOR")
ERRORS = (
    None,
    None,
    {"code": "OPERATION_FAILED", "message": "foo bar"},
    {"code": "X", "data": [1, {"a": "é"}]},
)


@st.composite
def runs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What is particular to a run's row, profile and metadata."""
    maybe = st.sampled_from([None, "a", "b"])
    row = {
        "project": draw(st.sampled_from(PROJECTS)),
        "model_file": draw(st.sampled_from(["m/a.py", "m/b.py"])),
        "created_us": draw(st.sampled_from(TIMES)),
        "last_modified_us": draw(st.sampled_from(TIMES)),
        "scope": {"scope_key": draw(st.sampled_from("ab")), "user_key": draw(maybe)},
        "permit": {"read_lock": draw(st.sampled_from(LOCKS))},
        "wall_us": draw(st.sampled_from([0, 1, 100_000, 1_500_000])),
    }
    profile = {
        "name": draw(st.sampled_from(NAMES)),
        "status": draw(st.sampled_from(list(RunStatus))),
        "environment": draw(st.sampled_from(["default", "science"])),
        "finish_reason": draw(st.sampled_from([None, None, "timeout", "closed"])),
        "parent": draw(maybe),
        "created_by": draw(maybe),
        "config_id": draw(maybe),
        "config_version": draw(st.sampled_from([None, 1, 2])),
        "source_type": draw(st.sampled_from([None, "api", "ui"])),
        "source": draw(st.sampled_from([None, {"type": "api", "label": "x"}])),
        "error": draw(st.sampled_from(ERRORS)),
        "tags": tuple(draw(TAGS)),
        "test": draw(st.sampled_from([False, False, True])),
        "parameters": draw(VALUES),
        "result": draw(VALUES),
        "evaluation": draw(st.sampled_from([None, {"score": 0.5}])),
    }
    return row, profile, draw(OBJECTS)


PATHS = st.sampled_from(
    [
        *(
            "id",
            "_id",
            "run_key",
            "name",
            "status",
            "finish_reason",
            "interaction",
            "environment",
            "parent",
            "tags",
        ),
        *(
            "created_by",
            "config.id",
            "config.version",
            "source.type",
            "source.label",
            "test",
            "execution_time",
        ),
        *(
            "created_at",
            "updated_at",
            "parameters",
            "result",
            "error.code",
            "error.data.a",
            "evaluation.score",
            "object",
        ),
        *(
            "parameters.a",
            "parameters.a.b",
            "parameters.0",
            "parameters.a.0.b",
            "result.a",
            "result.0",
            "result.x-y",
        ),
        *("metadata.a", "metadata.a", "metadata.b", "metadata.a.b", "metadata.a.0", "metadata.0"),
    ]
)
LITERALS = st.one_of(
    SCALARS, VALUES, st.sampled_from(["ready", "default", "m/a.py", "2026-01-01T00:00:00.001Z", "1970-01-01"])
)
RANGES = st.builds(
    lambda name, value: {name: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), LITERALS
)
LISTS = st.builds(
    lambda name, values: {name: values},
    st.sampled_from(["$in", "$nin", "$all"]),
    st.lists(LITERALS, max_size=3),
)
OTHERS = st.builds(lambda value: {"$exists": value}, st.booleans()) | st.builds(
    lambda size: {"$size": size}, st.integers(0, 3)
)
EQUALS = st.builds(lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne"]), LITERALS)
OPERATORS = EQUALS | RANGES | LISTS | OTHERS
OPERATORS = OPERATORS | OPERATORS.map(lambda operators: {"$not": operators})
CONDITIONS = st.builds(lambda path, value: {path: value}, PATHS, LITERALS | OPERATORS | OPERATORS)


def joined(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(parts, min_size=1, max_size=3)
    return st.builds(lambda name, values: {name: values}, st.sampled_from(["$and", "$or", "$nor"]), lists)


DOCUMENTS = st.recursive(CONDITIONS, joined, max_leaves=5)


# A plain reading of the rules: nothing of the worker's own.


def leads_to(value: Any, path: list[str]) -> list[Any]:
    if not path:
        return [value]
    if isinstance(value, dict):
        return leads_to(value[path[0]], path[1:]) if path[0] in value else [ABSENT]
    if isinstance(value, list):
        found = [one for member in value if isinstance(member, dict) for one in leads_to(member, path)]
        if path[0] in ("0", "1") and int(path[0]) < len(value):
            found += leads_to(value[int(path[0])], path[1:])
        return found
    return [ABSENT]


def alike(value: Any, wanted: Any) -> bool:
    if wanted is None:
        return value is None or value is ABSENT
    if value is None or value is ABSENT:
        return False
    if isinstance(value, (int, float)) and isinstance(wanted, (int, float)):
        return isinstance(value, bool) is isinstance(wanted, bool) and as_number(value) == as_number(wanted)
    return type(value) is type(wanted) and json.dumps(value) == json.dumps(wanted)


def as_number(value: Any) -> Any:
    return value if isinstance(value, float) or -(2**63) <= value < 2**63 else float(value)


def with_members(values: list[Any]) -> list[Any]:
    return values + [member for value in values if isinstance(value, list) for member in value]


def is_true(values: list[Any], operator: str, wanted: Any) -> bool:
    if operator in ("$ne", "$nin"):
        return not is_true(values, {"$ne": "$eq", "$nin": "$in"}[operator], wanted)
    if operator == "$eq":
        return any(alike(value, wanted) for value in with_members(values))
    if operator == "$in":
        return any(is_true(values, "$eq", one) for one in wanted)
    if operator == "$all":
        return bool(wanted) and all(is_true(values, "$eq", one) for one in wanted)
    if operator == "$exists":
        return any(value is not ABSENT for value in values) is wanted
    if operator == "$size":
        return any(isinstance(value, list) and len(value) == wanted for value in values)
    if operator == "$not":
        return not all(is_true(values, *item) for item in wanted.items())
    return any(compares(value, operator, wanted) for value in with_members(values))


def compares(value: Any, operator: str, wanted: Any) -> bool:
    kinds = [str if isinstance(one, str) else float for one in (value, wanted)]
    plain = all(isinstance(one, (str, int, float)) and not isinstance(one, bool) for one in (value, wanted))
    if not plain or kinds[0] is not kinds[1]:
        return False
    left, right = (one if isinstance(one, str) else as_number(one) for one in (value, wanted))
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[operator]


def is_found(document: dict[str, Any], view: dict[str, Any]) -> bool:
    return all(item_holds(key, value, view) for key, value in document.items())


def item_holds(key: str, value: Any, view: dict[str, Any]) -> bool:
    if key == "$and":
        return all(is_found(part, view) for part in value)
    if key in ("$or", "$nor"):
        return any(is_found(part, view) for part in value) is (key == "$or")
    values = values_of(view, key)
    if isinstance(value, dict) and any(name.startswith("$") for name in value):
        return all(is_true(values, name, literal(key, one)) for name, one in value.items())
    return is_true(values, "$eq", literal(key, value))


def literal(key: str, value: Any) -> Any:
    """What stands for a time: milliseconds."""
    if key not in ("created_at", "updated_at"):
        return value
    if isinstance(value, dict):
        return {name: literal(key, one) for name, one in value.items()}
    if isinstance(value, list):
        return [literal(key, one) for one in value]
    known = {
        "2026-01-01T00:00:00Z": 1_767_225_600_000,
        "2026-01-01T00:00:00.001Z": 1_767_225_600_001,
        "1970-01-01": 0,
    }
    return known.get(value, value) if isinstance(value, str) else value


def values_of(view: dict[str, Any], key: str) -> list[Any]:
    if key in view:
        return [ABSENT if view[key] is None else view[key]]
    first, *rest = key.split(".")
    return leads_to(view.get(first), rest)


def view_of(
    number: int, row: dict[str, Any], profile: dict[str, Any], metadata: dict[str, Any]
) -> dict[str, Any]:
    key = key_of(number)
    return {
        **profile,
        "status": profile["status"].value,
        "tags": list(profile["tags"]),
        "id": key,
        "_id": key,
        "run_key": key,
        "interaction": row["model_file"],
        "object": row["scope"]["scope_key"],
        "config.id": profile["config_id"],
        "config.version": profile["config_version"],
        "source.type": profile["source_type"],
        "execution_time": row["wall_us"] / 1_000_000,
        "created_at": row["created_us"] // 1000,
        "updated_at": row["last_modified_us"] // 1000,
        "metadata": metadata,
    }


def key_of(number: int) -> str:
    return f"{number:036d}"


class Both:
    """The same runs in both stores."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.memory: Store = MemoryStore()
        self.sqlite = self.runner.run(SqliteStore.open(folder))
        self.contents: list[Any] = []

    def fill(self, contents: list[Any]) -> None:
        self.contents = contents
        for store in (self.memory, self.sqlite):
            self.runner.run(self._fill(store))

    async def _fill(self, store: Store) -> None:
        for number in range(RUNS):
            await store.remove(key_of(number))
        await asyncio.gather(
            *(store.create(creation(number, *one)) for number, one in enumerate(self.contents))
        )

    def found(self, query: ProfileQuery) -> list[str]:
        """The keys that both find alike, in their order."""
        page = self.runner.run(self.sqlite.search(query))
        assert page == self.runner.run(self.memory.search(query))
        return [one.run.run_key for one in page.found]

    def close(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()


def creation(number: int, row: Any, profile: Any, metadata: Any) -> Creation:
    run = RunRecord(run_key=key_of(number), model_language="l", model_fingerprint="f", seed=1, **row)
    return Creation(run, (), metadata=metadata, profile=RunProfile(run.run_key, run.project, **profile))


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with tempfile.TemporaryDirectory() as folder:
        stores = Both(Path(folder))
        yield stores
        stores.close()


CONTENTS = st.lists(runs(), min_size=1, max_size=RUNS)
READERS = st.none() | st.builds(
    Reader,
    st.frozensets(st.sampled_from(LOCKS), max_size=2),
    st.sampled_from([None, "a", "b"]),
    st.frozensets(st.sampled_from(LOCKS), max_size=3),
)
SORTS = st.lists(
    st.builds(
        ProfileSort,
        st.sampled_from(["created_at", "updated_at", "name", "status", "execution_seconds"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda key: key.field,
).map(tuple)


@settings(max_examples=20, deadline=None)
@given(contents=CONTENTS, documents=st.lists(DOCUMENTS, min_size=20, max_size=20))
def test_a_document_finds_what_a_plain_reading_of_it_finds(both: Both, contents: Any, documents: Any) -> None:
    both.fill(contents)
    for document in documents:
        where = parsed(document)
        if where is None:
            continue
        query = ProfileQuery(where, test=None, sort=(ProfileSort("name"),))
        wanted = {
            key_of(number)
            for number, one in enumerate(contents)
            if not one[0]["project"] and is_found(document, view_of(number, *one))
        }
        assert set(both.found(query)) == wanted, document
        text, values = matching_sql(query, None, ["run.run_key"], with_run=True)
        assert {row[0] for row in both.sqlite._files.searcher.execute(text, values)} == wanted, document


def parsed(document: dict[str, Any]) -> Node | None:
    """What a document asks; None where it is refused as it must be."""
    refusal: RequestError
    try:
        return parse_document(document)
    except RequestError as error:
        refusal = error
    assert refusal.code is ErrorCode.INVALID_FILTER
    assert refusal.information.keys() == {"field", "path", "token", "expected"}
    return None


QUERIES = st.builds(
    SearchQuery,
    name=st.none() | st.sampled_from(["market", "STRASSE", "a", "b", "ab", "", 'a"b', "é"]),
    status=st.none() | st.lists(st.sampled_from(list(RunStatus)), max_size=3),
    interaction=st.none() | st.lists(st.sampled_from(["m/a.py", "m/c.py"]), max_size=2),
    tags=st.none() | TAGS,
    any_tags=st.none() | TAGS,
    exclude_tags=st.none() | TAGS,
    parent=st.none() | st.just(False) | st.lists(st.sampled_from("ab"), max_size=2),
    finish_reason=st.none() | st.lists(st.sampled_from(["none", "timeout"]), max_size=2),
    created_by=st.none() | st.lists(st.sampled_from("ab"), max_size=2),
    metadata=st.none() | st.dictionaries(st.sampled_from(KEYS), st.sampled_from([*TEXTS, "1.5"]), max_size=1),
    start=st.none() | st.sampled_from(["1970-01-01T00:00:00.001Z", "2026-01-01"]),
    end=st.none() | st.sampled_from(["1970-01-01", "2026-01-01T01:00:00.001+01:00"]),
    query=st.none()
    | st.sampled_from(
        [
            "straße",
            '"foo bar"',
            "foo-bar",
            "tag:a",
            "status:ready é",
            "metadata.a:1",
            'name:"ab"',
            "step 2026",
            "timeout",
        ]
    ),
)


def thinned(query: SearchQuery, keep: frozenset[str]) -> SearchQuery:
    """With a few of its fields only, so that it finds something."""
    return query.model_copy(update={name: None for name in SearchQuery.model_fields if name not in keep})


SEARCHES = st.builds(
    thinned, QUERIES, st.frozensets(st.sampled_from(sorted(SearchQuery.model_fields)), min_size=1, max_size=4)
)


@settings(max_examples=20, deadline=None)
@given(
    contents=CONTENTS,
    searches=st.lists(
        st.tuples(
            SEARCHES,
            SORTS,
            READERS,
            st.sampled_from([None, False, True]),
            st.integers(0, 3),
            st.integers(1, 8),
        ),
        min_size=20,
        max_size=20,
    ),
)
def test_sql_finds_what_looking_at_every_run_finds(both: Both, contents: Any, searches: Any) -> None:
    both.fill(contents)
    for search, sort, reader, test, first, count in searches:
        for project in sorted(set(PROJECTS)):
            query = ProfileQuery(
                search_tree(search), reader, test, sort, first, count, project=project, whole=count > 4
            )
            both.found(query)


FACETS = (
    "environment",
    "interaction",
    "model",
    "tags",
    "status",
    "finish_reason",
    "created_by",
    "source.type",
    "metadata.a",
)


@settings(max_examples=20, deadline=None)
@given(
    contents=CONTENTS,
    asked=st.lists(
        st.tuples(st.just(SearchQuery()) | SEARCHES, READERS, st.sampled_from([None, False, True])),
        min_size=6,
        max_size=6,
    ),
)
def test_facets_count_what_searches_find(both: Both, contents: Any, asked: Any) -> None:
    both.fill(contents)
    places = [counted_place(name, "facets") for name in FACETS]
    for search, reader, test in asked:
        query = ProfileQuery(search_tree(search), reader, test, count=RUNS)
        counts = both.runner.run(both.sqlite.count_facets(query, places))
        assert counts == both.runner.run(both.memory.count_facets(query, places))
        assert counts.total == len(both.found(query))
        for name, place, counted in zip(FACETS, places, counts.facets, strict=True):
            assert len(counted.buckets) <= MAX_BUCKETS
            numbers = [count for _, count in counted.buckets]
            assert numbers == sorted(numbers, reverse=True)
            if name not in ("tags", "metadata.a"):
                assert sum(numbers) == counts.total
            for value, count in counted.buckets:
                if value is None and (place.path or name == "tags"):
                    continue
                narrowed = Every((query.where, parse_document({name: value})))
                more = ProfileQuery(narrowed, reader, test, count=RUNS)
                assert len(both.found(more)) == count, (name, value)


def test_what_is_kept_is_what_there_is_whatever_happens(both: Both) -> None:
    """The tally after creations, changes and removals equals one that is made anew."""
    db = both.sqlite._files.reader
    kept = db.execute("SELECT project, field, value, test, read_lock, runs FROM tally").fetchall()
    anew = db.execute(
        "SELECT project, field, value, test, read_lock, count(*) FROM counted GROUP BY 1, 2, 3, 4, 5"
    ).fetchall()
    assert Counter(kept) == Counter(anew)
    assert both.runner.run(both.memory.search(ProfileQuery(EVERYTHING, test=None))).total >= 0
