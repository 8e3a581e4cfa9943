"""What every store must find: ``RunDirectory.query``."""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from worker.channel import pack
from worker.log.base import Append, Creation, Rewind, RunPage, Store
from worker.log.sqlite_files import DATABASE_FILE, Migration, migrate, migrations, open_files
from worker.log.sqlite_query import condition_of, page_sql, search
from worker.runs.filters import parse_filter, parse_sort
from worker.runs.query import RunQuery
from worker.runs.record import RunRecord

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]


async def find(store: Store, where: str = "", sort: str = "", **fields: Any) -> RunPage:
    return await store.query(RunQuery(where=parse_filter(where), sort=parse_sort(sort), **fields))


def keys(page: RunPage) -> list[str]:
    return [found.run.run_key for found in page.found]


async def fill(store: Store, run: Callable[..., RunRecord], count: int = 10) -> None:
    """Runs r0, r1, …, created backwards in time, with a variable, metadata and a group."""
    for number in reversed(range(count)):
        row = run(
            f"r{number}",
            created_us=(count - number) * 1000,
            marked=number % 2 == 0,
            tracking_key=None if number % 3 == 0 else f"t{number % 3}",
            address={"group_name": f"g{number % 2}"},
        )
        records = {"number": pack(number), "name": pack(f"name {number}")}
        await store.create(Creation(row, (), records=records, metadata={"half": number // 2}))


@pytest.mark.parametrize(
    ("where", "found"),
    (
        ("var.number>=8", "r8 r9"),
        ("var.number<3;run.marked=true", "r0 r2"),
        ("var.number|=1|5", "r1 r5"),
        ("var.name~=*me 4", "r4"),
        ("meta.half=4", "r8 r9"),
        ("run.groupName=g1;var.number>6", "r7 r9"),
        ("run.trackingKey=null;var.number!=3", "r0 r6 r9"),
        ("[var.number=0;(meta.half=1;run.marked=false)]", "r0 r3"),
        ("var.none*=true", ""),
    ),
)
def test_a_filter_finds_its_runs_in_the_order_of_their_keys(
    on_store: OnStore, run: Callable[..., RunRecord], where: str, found: str
) -> None:
    async def scenario(store: Store) -> None:
        await fill(store, run)
        page = await find(store, where)
        assert keys(page) == found.split()
        assert page.total == len(found.split())

    on_store(scenario)


def test_a_query_finds_the_runs_of_its_project_only(on_store: OnStore, run: Callable[..., RunRecord]) -> None:
    async def scenario(store: Store) -> None:
        projects = ("", "a/b", "a/c", "a/b", "")
        for number, project in enumerate(projects):
            row = run(f"r{number}", project=project, tracking_key="t", created_us=9 - number)
            await store.create(Creation(row, (), records={"x": pack(number)}, metadata={"y": 1}))
        for project, found in (("", "r0 r4"), ("a/b", "r1 r3"), ("a/c", "r2"), ("a/d", ""), ("a/B", "")):
            for where in ("", "run.trackingKey=t", "var.x>=0", "[var.x>=0;meta.y=2]", "run.marked=false"):
                page = await find(store, where, project=project)
                assert (keys(page), page.total) == (found.split(), len(found.split()))
                newest = await find(store, where, "run.created", project=project)
                assert keys(newest) == found.split()[::-1]

    on_store(scenario)


def test_a_sort_leaves_ties_in_the_order_of_keys(on_store: OnStore, run: Callable[..., RunRecord]) -> None:
    async def scenario(store: Store) -> None:
        await fill(store, run, 6)
        assert keys(await find(store, sort="run.created")) == ["r5", "r4", "r3", "r2", "r1", "r0"]
        assert keys(await find(store, sort="-run.marked")) == ["r0", "r2", "r4", "r1", "r3", "r5"]
        assert keys(await find(store, sort="run.trackingKey;-run.created")) == [
            *("r0", "r3", "r1", "r4", "r2", "r5")
        ]

    on_store(scenario)


def test_pages_cover_every_run_once(on_store: OnStore, run: Callable[..., RunRecord]) -> None:
    async def scenario(store: Store) -> None:
        await fill(store, run)
        pages = [await find(store, sort="-run.marked", first=first, count=4) for first in (0, 4, 8, 12)]
        assert [page.total for page in pages] == [10] * 4
        assert [key for page in pages for key in keys(page)] == keys(await find(store, sort="-run.marked"))

    on_store(scenario)


def test_a_page_gives_the_values_it_was_asked_for(on_store: OnStore, run: Callable[..., RunRecord]) -> None:
    async def scenario(store: Store) -> None:
        await fill(store, run, 2)
        plain = await find(store)
        assert [(found.variables, found.metadata) for found in plain.found] == [({}, {})] * 2
        page = await find(store, variables=("number", "none"), metadata=("half",))
        assert [found.variables for found in page.found] == [{"number": pack(0)}, {"number": pack(1)}]
        assert [found.metadata for found in page.found] == [{"half": pack(0)}] * 2
        assert page.found[0].run == await store.get("r0")

    on_store(scenario)


def test_a_page_ends_before_its_values_are_too_large(
    on_store: OnStore, run: Callable[..., RunRecord]
) -> None:
    async def scenario(store: Store) -> None:
        for number in range(4):
            await store.create(Creation(run(f"r{number}"), (), records={"big": pack("x" * 1000)}))
        for max_bytes, count in ((2100, 2), (10, 1), (10_000, 4)):
            page = await find(store, variables=("big",), max_bytes=max_bytes)
            assert (len(page.found), page.total) == (count, 4)
        assert keys(await find(store, variables=("big",), max_bytes=10, first=3)) == ["r3"]

    on_store(scenario)


def test_what_is_written_later_is_found(
    on_store: OnStore,
    run: Callable[..., RunRecord],
    entry: Callable[..., Any],
    appending: Callable[..., Append],
) -> None:
    async def scenario(store: Store) -> None:
        await store.create(Creation(run("run"), (), records={"x": pack(1)}))
        await store.append(appending(0, records={"x": pack("later"), "y": pack(True)}))
        assert keys(await find(store, "var.x=1")) == []
        assert keys(await find(store, "var.x=later;var.y=true")) == ["run"]
        await store.update_metadata("run", lambda _: {"tag": "2026-01-01"}, at_us=5)
        assert keys(await find(store, "meta.tag<2026-01-02")) == ["run"]
        await store.update("run", lambda row: run("run", seq=row.seq, address={"episode_name": "e"}))
        assert keys(await find(store, "run.episodeName=e;run.seq=1")) == ["run"]
        await store.append(appending(1, records={"z": pack(0)}))
        await store.rewind(Rewind("run", 1, 2, 1, entry(3), 9, records={"y": pack(False)}))
        assert keys(await find(store, "[var.x*=true;var.z*=true;var.y=true]")) == []
        assert keys(await find(store, "var.y=false")) == ["run"]
        await store.remove("run")
        assert (await find(store)).total == 0

    on_store(scenario)


# SQLite only


def plan(db: sqlite3.Connection, where: str, *, few: bool, sort: str = "") -> str:
    query = RunQuery(where=parse_filter(where), sort=parse_sort(sort))
    text, values = condition_of(query, few=few)
    rows = db.execute(f"EXPLAIN QUERY PLAN {page_sql(query, text, few=few)}", [*values, 10, 0]).fetchall()
    return "\n".join(row[-1] for row in rows if row[-1] != "SCAN matching")


@pytest.fixture
def db(tmp_path: Path) -> Any:
    files = open_files(tmp_path)
    yield files.searcher
    files.close()


@pytest.mark.parametrize(
    ("where", "index"),
    (
        ("var.x>5;run.marked=true", "variable_by_scalar (name=? AND scalar>? AND scalar<?)"),
        ("var.x=5;run.marked=true", "variable_by_scalar (name=? AND scalar=?)"),
        ("var.x~=ab*", "variable_by_scalar (name=? AND scalar>? AND scalar<?)"),
        ("var.x>2026-01-01", "variable_by_time (name=? AND at_ms>?)"),
        ("meta.x<b", "metadata_by_scalar (name=? AND scalar>? AND scalar<?)"),
    ),
)
def test_a_condition_on_a_value_uses_its_index_and_looks_runs_up_by_key(
    db: sqlite3.Connection, where: str, index: str
) -> None:
    found = plan(db, where, few=False)
    assert index in found
    assert "INDEX sqlite_autoindex_run_1 (run_key=?)" in found
    assert "SCAN" not in found


@pytest.mark.parametrize(
    ("where", "index"),
    (
        ("run.scopeKey=a;run.scopeBoundary=GROUP;run.modelFile=m", "run_by_scope"),
        ("run.groupName=a", "run_by_group"),
        ("run.userKey=a", "run_by_user"),
        ("run.trackingKey=a", "run_by_tracking_key"),
        ("run.modelFile=a", "run_by_model_file"),
        ("run.created>2026-01-01", "run_by_created"),
    ),
)
def test_where_runs_are_few_their_values_are_looked_up_by_key(
    db: sqlite3.Connection, where: str, index: str
) -> None:
    found = plan(db, f"{where};var.x>5", few=True)
    assert f"SEARCH run USING INDEX {index} (" in found
    assert "SEARCH variable USING PRIMARY KEY (run_key=? AND name=?)" in found
    assert "SCAN" not in found


def test_the_newest_runs_are_found_without_sorting_all(db: sqlite3.Connection) -> None:
    found = plan(db, "", few=False, sort="-run.created")
    assert "USING INDEX run_by_created (project=?)" in found
    assert "B-TREE FOR ORDER BY" not in found


@pytest.mark.parametrize(
    ("where", "index"),
    (
        (
            "run.scopeKey=s;run.modelFile=m;run.scopeBoundary=GROUP",
            "scope (project=? AND scope_key=? AND scope_bound",
        ),
        ("run.groupName=g;run.scopeBoundary=GROUP", "group (project=? AND group_name=? AND scope_boundary=?"),
        ("run.userKey=u", "user (project=? AND user_key=?"),
        ("run.trackingKey=t;var.x=1", "tracking_key (project=? AND tracking_key=?"),
        ("run.modelFile=m", "model_file (project=? AND model_file=?"),
        ("run.created>2026-01-01", "created (project=? AND created_us>?"),
        ("run.marked=true", "project (project=?"),
    ),
)
def test_a_condition_on_the_run_uses_its_index_within_the_project(
    db: sqlite3.Connection, where: str, index: str
) -> None:
    assert f"SEARCH run USING INDEX run_by_{index}" in plan(db, where, few=True)
    assert "SCAN run" not in plan(db, where, few=True)


def test_all_runs_of_a_project_are_told_from_an_index(db: sqlite3.Connection) -> None:
    found = plan(db, "", few=False)
    assert "INDEX run_by_project (project=?)" in found
    assert "B-TREE" not in found


def test_rows_of_before_can_be_asked_for(tmp_path: Path) -> None:
    steps: Sequence[Migration] = migrations()
    values = {"a": 5, "b": "2026-01-01", "c": [1], "d": None, "e": True}
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as old:
        migrate(old, [step for step in steps if step.version < 3])
        old.execute(
            "INSERT INTO run VALUES ('run', 0, 1, NULL, 1, 1, 1, 'm', 'l', NULL, 'f', 'MANY', 'GROUP', 's', NULL, NULL,"
            " 0, 0, 0, 0, 0, 0, NULL, NULL, 0, '{}', '{}', '{}', '{\"group_name\": \"g\"}', NULL, 0)"
        )
        for table in ("variable", "metadata"):
            old.executemany(
                f"INSERT INTO {table} (run_key, name, value) VALUES ('run', ?, ?)",
                [(name, pack(value)) for name, value in values.items()],
            )
    files = open_files(tmp_path)
    try:
        for where in ("a=5", "b>2025-12-31", "c*=true", "d=null", "e=true"):
            text = f"var.{where};meta.{where};run.groupName=g"
            page = search(files.searcher, RunQuery(where=parse_filter(text)))
            assert [found.run.project for found in page.found] == [""], text
            assert search(files.searcher, RunQuery(where=parse_filter(text), project="a/b")).total == 0
    finally:
        files.close()
