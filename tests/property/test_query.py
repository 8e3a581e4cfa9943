"""Filters: any text is answered or refused, and SQL finds what looking at every run finds."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.errors import ErrorCode
from worker.channel import pack
from worker.errors import RequestError
from worker.log.base import Creation, Store
from worker.log.memory import MemoryStore
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_query import condition_of
from worker.runs.filters import parse_filter, parse_sort
from worker.runs.query import ATTRIBUTES, Every, Kind, RunQuery, SortKey
from worker.runs.record import RunRecord

T = TypeVar("T")
EDGES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, -0.0, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1e300, 5e-324),
    *("", "1", "1.5", "true", "null", "a", "ab", "a*b", "a[b", "a?b", "A", "é", "\U0010ffff", "a\U0010ffff"),
    *(
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00+01:00",
        "2026-01-01T00:00:00.001Z",
        "2026-02-30",
    ),
    *([], [1], {"a": 1}, "x\0y", "x" * 1025, "x" * 1024),
]
SCALARS = (
    st.sampled_from(EDGES)
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
)
TEXTS = st.sampled_from([None, "", "a", "ab", "1", "true", "a*b", "B", "é", "2026-01-01"])
RUNS = 24
PROJECTS = ("", "", "a/b")


@st.composite
def runs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The attributes, variables and metadata of a run."""
    attributes = {
        "project": draw(st.sampled_from(PROJECTS)),
        "tracking_key": draw(TEXTS),
        "marked": draw(st.booleans()),
        "model_version": draw(st.sampled_from([None, 1.0, 2.5])),
        "created_us": draw(st.sampled_from([0, 999, 1000, 1_767_225_600_000_000, 1_767_225_600_001_000])),
        "scope": {"scope_boundary": "GROUP", "scope_key": draw(st.sampled_from("ab"))},
        "address": draw(st.sampled_from([None, {"group_name": "a"}, {"group_name": "b", "world_key": "w"}])),
    }
    names = st.dictionaries(st.sampled_from(["x", "y"]), SCALARS, max_size=2)
    return attributes, draw(names), draw(names)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


WORDS = (
    st.sampled_from(
        ["0", "1", "-1", "1.5", "1e300", "true", "false", "null", "a", "a*", "*b", "*", "a*b", "a[b", "a?b"]
    ).filter(lambda word: "[" not in word)
    | st.sampled_from(["2026-01-01", "2026-01-01T00:00:00.001Z", "1970-01-01T00:00:00.001Z"])
    | st.sampled_from([str(value) for value in EDGES if isinstance(value, (int, float))])
    | st.builds(
        quoted, st.text(max_size=3) | st.sampled_from(["a*", "a[b*", "a?*", "\U0010ffff*", "x\0y", "1"])
    )
)
OPERATORS = st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "~=", "!~=", "|="])
RUN_NAMES = st.sampled_from(sorted(ATTRIBUTES))
FIELDS = st.sampled_from(["var.x", "var.y", "var.z", "meta.x", "meta.y"]) | RUN_NAMES.map(
    lambda name: f"run.{name}"
)
CONDITIONS = st.builds("{}{}{}".format, FIELDS, OPERATORS, WORDS) | st.builds(
    "{}*={}".format, FIELDS, st.sampled_from(["true", "false"])
)


def groups(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    listed = st.lists(parts, min_size=1, max_size=3).map(";".join)
    return listed.map(lambda text: f"({text})") | listed.map(lambda text: f"[{text}]")


FILTERS = st.lists(st.recursive(CONDITIONS, groups, max_leaves=5), min_size=1, max_size=3).map(";".join)
SORTS = st.lists(
    st.builds(SortKey, RUN_NAMES, st.booleans()), max_size=2, unique_by=lambda key: key.attribute
)


def parsed(text: str, parse: Callable[[str], T]) -> T | None:
    """What a text says; None where it is refused as it must be."""
    refusal: RequestError
    try:
        return parse(text)
    except RequestError as error:
        refusal = error
    assert refusal.code is ErrorCode.INVALID_FILTER
    assert 0 <= refusal.information["position"] <= len(text)
    return None


class Both:
    """The same runs in both stores."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.memory: Store = MemoryStore()
        self.sqlite: Store = self.runner.run(SqliteStore.open(folder))

    def fill(self, contents: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]) -> None:
        for store in (self.memory, self.sqlite):
            self.runner.run(self._fill(store, contents))

    async def _fill(self, store: Store, contents: list[Any]) -> None:
        for number in range(RUNS):
            await store.remove(f"r{number}")
        await asyncio.gather(
            *(store.create(_creation(number, *content)) for number, content in enumerate(contents))
        )

    def close(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()


def _creation(number: int, attributes: Any, variables: Any, metadata: Any) -> Creation:
    run = RunRecord(
        run_key=f"r{number}",
        model_file="m",
        model_language="l",
        model_fingerprint="f",
        last_modified_us=1,
        seed=1,
        permit={"read_lock": "USER"},
        **attributes,
    )
    return Creation(
        run, (), records={name: pack(value) for name, value in variables.items()}, metadata=metadata
    )


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with tempfile.TemporaryDirectory() as folder:
        stores = Both(Path(folder))
        yield stores
        stores.close()


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(runs(), min_size=1, max_size=RUNS),
    questions=st.lists(
        st.tuples(FILTERS, SORTS, st.integers(0, 3), st.integers(1, 8)), min_size=20, max_size=20
    ),
)
def test_sql_finds_what_looking_at_every_run_finds(both: Both, contents: Any, questions: Any) -> None:
    both.fill(contents)
    for text, sort, first, count in questions:
        where = parsed(text, parse_filter)
        if where is None:
            continue
        query = RunQuery(where, tuple(sort), first, count, variables=("x",), metadata=("y",))
        for project in set(PROJECTS):
            asked = replace(query, project=project)
            found = both.runner.run(both.sqlite.query(asked))
            assert found == both.runner.run(both.memory.query(asked)), text
            assert {one.run.project for one in found.found} <= {project}


@settings(max_examples=40, deadline=None)
@given(
    contents=st.lists(runs(), min_size=1, max_size=RUNS),
    filters=st.lists(FILTERS.map(lambda text: f"run.scopeKey=a;{text}"), min_size=20, max_size=20),
)
def test_both_forms_of_sql_find_it(both: Both, contents: Any, filters: Any) -> None:
    """Filters with a scope are asked in the form for few runs; here the other one answers them, too."""
    both.fill(contents)
    for text in filters:
        where = parsed(text, parse_filter)
        if where is None:
            continue
        wanted = {found.run.run_key for found in both.runner.run(both.memory.query(RunQuery(where))).found}
        files = both.sqlite._files  # type: ignore[attr-defined]
        for few in (True, False):
            condition, values = condition_of(RunQuery(where), few=few)
            rows = files.searcher.execute(f"SELECT run_key FROM run WHERE {condition}", values).fetchall()
            assert {row[0] for row in rows} == wanted, (text, few)
        assert {
            found.run.run_key for found in both.runner.run(both.sqlite.query(RunQuery(where))).found
        } == wanted


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet='runvarmeta.xy=!<>|~*;()[]{}"\\ 1', max_size=40))
@example("var.x=" + "9" * 5000)
@example("var.x~=" + "*a" * 2000)
@example('var."' + "\\" * 31)
def test_any_text_is_answered_or_refused(both: Both, text: str) -> None:
    where, sort = parsed(text, parse_filter), parsed(text, parse_sort)
    query = RunQuery(where or Every(), sort or ())
    assert both.runner.run(both.sqlite.query(query)) == both.runner.run(both.memory.query(query))


def test_every_kind_of_attribute_is_among_those_tried() -> None:
    assert {attribute.kind for attribute in ATTRIBUTES.values()} == set(Kind)
