"""What every store must find by profiles: the port ``Searches``."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.profiles import SearchQuery
from worker.channel import pack
from worker.errors import TooSlowError
from worker.log.base import Append, Creation, Store
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_facets import count_facets, facets_sql
from worker.log.sqlite_files import DATABASE_FILE, migrate, migrations, open_files
from worker.log.sqlite_search import FEW_RUNS, driver_of, matching_sql, page_sql, search, walk_sql
from worker.log.sqlite_tally import tallied
from worker.runs.documents import parse_document
from worker.runs.fields import counted_place
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.query import EVERYTHING
from worker.runs.record import RunRecord
from worker.runs.search import MAX_BUCKETS, ProfileQuery, ProfileSort, Reader, search_tree

OnStore = Callable[[Callable[[Store], Awaitable[None]]], None]
Run = Callable[..., RunRecord]
ALL = ProfileQuery(test=None)


def searched(**fields: Any) -> ProfileQuery:
    return ProfileQuery(search_tree(SearchQuery(**fields)))


async def keys(store: Store, query: ProfileQuery) -> list[str]:
    """The keys of a page, whose number is that of all matches."""
    page = await store.search(query)
    assert page.total == len(page.found)
    return [found.run.run_key for found in page.found]


async def add(store: Store, run: RunRecord, metadata: dict[str, Any] | None = None, **fields: Any) -> None:
    given = {"name": f"name of {run.run_key}"} | fields
    profile = RunProfile(run.run_key, run.project, **given)
    await store.create(Creation(run, (), metadata=metadata or {}, profile=profile))


def test_what_moves_a_run_moves_it_to_the_front(
    on_store: OnStore, run: Run, appending: Callable[..., Append]
) -> None:
    async def scenario(store: Store) -> None:
        for number in range(3):
            await add(store, run(f"r{number}", last_modified_us=number + 1))
        assert await keys(store, ProfileQuery()) == ["r2", "r1", "r0"]
        await store.append(appending(0, "r0", at_us=9))
        assert await keys(store, ProfileQuery()) == ["r0", "r2", "r1"]
        await store.update_metadata("r1", lambda _: {"x": 1}, at_us=10)
        assert await keys(store, ProfileQuery()) == ["r1", "r0", "r2"]
        await store.update_profile("r2", lambda profile: replace(profile, tags=("a",)), at_us=10)
        assert await keys(store, ProfileQuery()) == ["r2", "r1", "r0"]
        await store.change_status("r0", StatusChange(RunStatus.STARTING, 11))
        assert await keys(store, ProfileQuery()) == ["r0", "r2", "r1"]

    on_store(scenario)


def test_every_write_is_found_by_what_it_says(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        await add(store, run("run"), name="Old Näme", tags=("a", "b"))
        await store.update_profile(
            "run", lambda one: replace(one, name="New Name", tags=("b", "c")), at_us=20
        )
        failed = {"code": "X", "message": "gone wrong"}
        changes = (
            StatusChange(RunStatus.STARTING, 21),
            StatusChange(RunStatus.FAILED, 22, "timeout", failed, {"told": ["some words"]}),
        )
        await store.change_status("run", *changes)
        for query in (
            {"name": "NEW"},
            {"tags": ["c", "b"]},
            {"status": ["failed"], "finish_reason": ["timeout"]},
            {"query": '"gone wrong" timeout "some words"'},
        ):
            assert await keys(store, searched(**query)) == ["run"], query
        for query in (
            {"name": "old"},
            {"tags": ["a"]},
            {"status": ["ready"]},
            {"query": "old"},
            {"query": "told"},
        ):
            assert await keys(store, searched(**query)) == [], query
        await store.update("run", lambda row: replace(row, permit={"read_lock": "AUTHOR"}))
        assert await keys(store, replace(ALL, reader=Reader(frozenset({"USER"})))) == []
        assert await keys(store, replace(ALL, reader=Reader(frozenset({"AUTHOR"})))) == ["run"]
        await store.remove("run")
        assert await keys(store, searched(query="gone")) == []
        assert (await store.count_facets(ALL, [counted_place("tags", "")])).facets[0].buckets == ()

    on_store(scenario)


def test_only_the_project_is_looked_at(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        for number, project in enumerate(("", "a/b", "")):
            row = run(f"r{number}", project=project, scope={"scope_key": "s", "user_key": "u"})
            await add(store, row, {"x": [1]}, name="same", tags=("t",), created_by="c", parent="p")
        reader = Reader(frozenset(), "u", frozenset({"USER"}))
        for document in (
            *({}, {"tags": "t"}, {"created_by": "c"}, {"metadata.x": 1}, {"object": "s"}, {"parent": "p"}),
            {"$or": [{"tags": "t"}, {"created_by": "c"}]},
        ):
            for seen in (None, reader):
                query = ProfileQuery(parse_document(document), seen)
                assert sorted(await keys(store, query)) == ["r0", "r2"], document
                assert await keys(store, replace(query, project="a/b")) == ["r1"], document
        for query in (searched(name="same"), searched(query="same"), ProfileQuery(EVERYTHING, reader)):
            counts = await store.count_facets(replace(query, project="a/b"), [counted_place("tags", "")])
            assert (counts.total, counts.facets[0].buckets) == (1, (("t", 1),))

    on_store(scenario)


def test_a_page_ends_before_it_is_too_large(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        for number in range(4):
            await add(store, run(f"r{number}"), {"big": "x" * 1000}, result="y" * 1000)
        for whole, max_bytes, count in ((False, 2500, 2), (True, 2500, 1), (False, 10, 1), (True, 9000, 4)):
            page = await store.search(ProfileQuery(whole=whole, max_bytes=max_bytes))
            assert (len(page.found), page.total) == (count, 4)
            assert (page.found[0].profile.result is not None) is whole

    on_store(scenario)


def test_a_facet_tells_that_there_are_more_values(on_store: OnStore, run: Run) -> None:
    async def scenario(store: Store) -> None:
        for number in range(MAX_BUCKETS + 1):
            await add(store, run(f"r{number:03}"), created_by=f"c{number:03}", tags=("t",))
        for query in (ProfileQuery(), searched(tags=["t"])):
            counts = await store.count_facets(
                query, [counted_place("created_by", ""), counted_place("tags", "")]
            )
            assert [counted.truncated for counted in counts.facets] == [True, False]
            assert counts.facets[0].buckets == tuple((f"c{number:03}", 1) for number in range(MAX_BUCKETS))
            assert counts.facets[1].buckets == (("t", MAX_BUCKETS + 1),)

    on_store(scenario)


# SQLite only


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    files = open_files(tmp_path)
    yield files.searcher
    files.close()


def steps(db: sqlite3.Connection, text: str, values: list[Any]) -> str:
    return "\n".join(row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values))


@pytest.mark.parametrize(
    ("document", "index"),
    (
        ({"status": "failed"}, "SEARCH profile USING INDEX profile_by_status (project=? AND status=?)"),
        ({"environment": {"$in": ["a", "b"]}}, "profile_by_environment (project=? AND environment=?)"),
        ({"finish_reason": "timeout"}, "profile_by_finish_reason (project=? AND finish_reason=?)"),
        ({"created_by": "a"}, "profile_by_created_by (project=? AND created_by=?)"),
        ({"config.id": "a"}, "profile_by_config (project=? AND config_id=?)"),
        ({"parent": "a"}, "profile_by_parent (project=? AND parent=?)"),
        ({"name": "a"}, "profile_by_name (project=? AND name=?)"),
        ({"name": {"$gte": "a"}}, "profile_by_name (project=? AND name>?)"),
        ({"run_id": "a"}, "profile_by_run_id (project=? AND run_id=?)"),
        ({"id": "a"}, "sqlite_autoindex_profile_1 (run_key=?)"),
        ({"interaction": "a"}, "SEARCH run USING INDEX run_by_model_file (project=? AND model_file=?)"),
        ({"model": "a"}, "run_by_model (model_fingerprint=? AND project=?)"),
        ({"object": "a"}, "run_by_scope (project=? AND scope_key=?)"),
        ({"tracking_key": "a"}, "run_by_tracking_key (project=? AND tracking_key=?)"),
        ({"created_at": {"$gt": "2026-01-01"}}, "run_by_created (project=? AND created_us>?)"),
        ({"updated_at": {"$gt": "2026-01-01"}}, "run_by_modified (project=? AND last_modified_us>?)"),
        (
            {"created_at": {"$gt": "2026-01-01", "$lt": "2026-01-02"}},
            "run_by_created (project=? AND created_us>? AND created_us<?)",
        ),
        ({"tags": "a"}, "SEARCH tag USING PRIMARY KEY (project=? AND tag=?)"),
        (
            {"metadata.a": "b"},
            "SEARCH metadata USING COVERING INDEX metadata_by_scalar (name=? AND scalar=?)",
        ),
        ({"metadata.a": {"$lt": 5}}, "metadata_by_scalar (name=? AND scalar<?)"),
        ({"$or": [{"tags": "a"}, {"created_by": "b"}]}, "profile_by_created_by (project=? AND created_by=?)"),
    ),
)
def test_few_runs_come_from_an_index(db: sqlite3.Connection, document: dict[str, Any], index: str) -> None:
    query = ProfileQuery(parse_document({**document, "result.a": 1}))
    found = steps(db, *page_sql(db, query))
    assert index in found
    assert not [
        step for step in found.splitlines() if step.startswith(("SCAN run", "SCAN profile", "SCAN metadata"))
    ]


@pytest.mark.parametrize(
    ("query", "index"),
    (
        ({"query": "word"}, "SCAN word_index VIRTUAL TABLE INDEX"),
        ({"name": "text"}, "SCAN name_index VIRTUAL TABLE INDEX"),
    ),
)
def test_full_text_comes_from_its_index(db: sqlite3.Connection, query: dict[str, Any], index: str) -> None:
    found = steps(db, *page_sql(db, searched(**query)))
    assert index in found
    assert "SEARCH wording USING INTEGER PRIMARY KEY (rowid=?)" in found


@pytest.mark.parametrize(
    ("field", "descending", "index"),
    (
        ("updated_at", True, "SEARCH run USING INDEX run_by_modified (project=?)"),
        ("created_at", False, "SEARCH run USING INDEX run_by_created (project=?)"),
        ("name", False, "SEARCH profile USING INDEX profile_by_name (project=?)"),
    ),
)
def test_many_runs_come_in_order_from_an_index(
    db: sqlite3.Connection, field: str, descending: bool, index: str
) -> None:
    query = ProfileQuery(parse_document({"status": "ready"}), sort=(ProfileSort(field, descending),))
    found = steps(db, *walk_sql(query))
    assert index in found
    # Ties only.
    assert "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY" in found or "LAST TERM OF ORDER BY" in found


def test_facets_of_all_runs_are_kept_and_those_of_some_are_counted(db: sqlite3.Connection) -> None:
    places = [counted_place(field, "") for field in ("status", "tags", "model")]
    for text, values in facets_sql(db, ProfileQuery(), places):
        found = steps(db, text, values)
        assert "SEARCH tally USING PRIMARY KEY (project=? AND field=?" in found
        assert "run" not in found.replace("runs", "")
    ((text, values),) = facets_sql(db, searched(created_by=["a"]), places)
    found = steps(db, text, values)
    assert "profile_by_created_by (project=? AND created_by=?)" in found
    assert "tally" not in found


def test_a_reader_s_runs_come_from_an_index(db: sqlite3.Connection) -> None:
    reader = Reader(frozenset({"PARTICIPANT"}), "ann", frozenset({"USER"}))
    found = steps(db, *page_sql(db, ProfileQuery(reader=reader)))
    assert "run_by_read_lock (read_lock=? AND project=?)" in found
    assert "run_by_user (project=? AND user_key=?)" in found


def tallies(db: sqlite3.Connection) -> tuple[Counter[Any], Counter[Any]]:
    """What is kept, and what it should be."""
    columns = "project, field, value, test, read_lock"
    kept = db.execute(f"SELECT {columns}, runs FROM tally").fetchall()
    anew = db.execute(f"SELECT {columns}, count(*) FROM counted GROUP BY {columns}").fetchall()
    return Counter(kept), Counter(anew)


def test_what_is_kept_stays_in_step_with_every_write(tmp_path: Path, run: Run) -> None:
    files = open_files(tmp_path)
    files.close()
    changes: list[tuple[str, list[Any]]] = [
        ("UPDATE profile SET status = 'failed', finish_reason = 'timeout' WHERE run_key = ?", []),
        ("UPDATE profile SET environment = 'e', created_by = NULL, source_type = 'ui' WHERE run_key = ?", []),
        ("UPDATE profile SET tags = '[]' WHERE run_key = ?", []),
        ("DELETE FROM tag WHERE run_key = ?", []),
        ("UPDATE profile SET test = 1, status = 'ready' WHERE run_key = ?", []),
        ("UPDATE profile SET tags = '[\"x\"]', parent = NULL WHERE run_key = ?", []),
        ("INSERT INTO tag (run_key, project, tag) VALUES (?, '', 'x')", []),
        ("UPDATE run SET read_lock = 'AUTHOR' WHERE run_key = ?", []),
        ("UPDATE run SET model_file = 'm', model_fingerprint = 'f', read_lock = NULL WHERE run_key = ?", []),
        ("UPDATE run SET seq = seq + 1, last_modified_us = 99 WHERE run_key = ?", []),
        ("DELETE FROM run WHERE run_key = ?", []),
    ]

    async def scenario() -> None:
        store = await SqliteStore.open(tmp_path)
        for number in range(2):
            await add(
                store, run(f"r{number}"), tags=("a", "b"), created_by="c", parent="p", source_type="api"
            )
        await store.close()

    asyncio.run(scenario())
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        kept, anew = tallies(db)
        assert kept == anew
        for sql, _ in changes:
            assert db.execute(sql, ("r0",)).rowcount, sql
            before, (kept, anew) = kept, tallies(db)
            assert kept == anew, sql
            assert (kept == before) is ("last_modified_us" in sql), sql


def test_full_text_holds_what_profiles_say(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        store = await SqliteStore.open(tmp_path)
        for number in range(6):
            await add(store, run(f"r{number}"), tags=("a",))
        await store.update_profile("r1", lambda one: replace(one, name="other"), at_us=20)
        failed = StatusChange(RunStatus.FAILED, 22, "timeout", {"code": "X"})
        await store.change_status("r2", StatusChange(RunStatus.STARTING, 21), failed)
        for number in (0, 5, 2):
            await store.remove(f"r{number}")
        await store.close()

    asyncio.run(scenario())
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as db:
        for index in ("word_index", "name_index"):
            db.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
        found = db.execute("SELECT run_key, name FROM wording ORDER BY run_key").fetchall()
        assert found == [("r1", "other"), ("r3", "name of r3"), ("r4", "name of r4")]


def test_a_search_that_takes_too_long_gives_nothing_and_harms_nothing(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        store = await SqliteStore.open(tmp_path)
        try:
            for number in range(40):
                await add(store, run(f"r{number:02}"), {"x": list(range(300))})
            slow = ProfileQuery(
                parse_document({"$nor": [{"metadata.x": number} for number in range(300, 310)]})
            )
            seconds, store.search_seconds = store.search_seconds, 0.0
            with pytest.raises(TooSlowError) as raised:
                await store.search(slow)
            assert (raised.value.code, raised.value.status) == (ErrorCode.QUERY_TIMEOUT, 503)
            with pytest.raises(TooSlowError):
                await store.count_facets(slow, [counted_place("status", "")])
            assert not store.health()
            store.search_seconds = seconds
            assert (await store.search(slow)).total == 40
            assert (await store.count_facets(slow, [counted_place("status", "")])).total == 40
        finally:
            await store.close()

    asyncio.run(scenario())


def test_runs_of_before_can_be_searched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as old:
        migrate(old, [step for step in migrations() if step.version < 9])
        old.execute(
            "INSERT INTO run (run_key, seq, epoch, last_modified_us, created_us, seed, model_file, model_language,"
            " model_fingerprint, morphology, scope_key, marked, hidden, closed, allow_channel, ephemeral, perpetual,"
            " compare_after_seq, scope, permit, execution_context) VALUES ('run', 0, 1, 5, 5, 1, 'm', 'l', 'f', 'MANY',"
            " 's', 0, 0, 0, 0, 0, 0, 0, '{\"scope_key\": \"s\"}', '{\"read_lock\": \"USER\"}', '{}')"
        )
        old.execute(
            "INSERT INTO profile (run_key, project, name, status, environment, tags, result)"
            " VALUES ('run', '', 'A Näme', 'ready', 'default', '[\"t\"]', '{\"a\":\"some words\"}')"
        )
        old.execute("INSERT INTO tag (run_key, project, tag) VALUES ('run', '', 't')")
        old.execute(
            "INSERT INTO metadata (run_key, name, value, scalar) VALUES ('run', 'x', ?, x'02')",
            [pack([1, {"a": 2}])],
        )
    files = open_files(tmp_path)
    try:
        for query in (
            *(searched(name="näme"), searched(query='"some words" t'), searched(tags=["t"], parent=False)),
            *(
                ProfileQuery(parse_document({"metadata.x": 1})),
                ProfileQuery(parse_document({"metadata.x.a": 2})),
            ),
            ProfileQuery(reader=Reader(frozenset({"USER"}))),
        ):
            assert search(files.searcher, query).total == 1, query
        counts = count_facets(files.searcher, ProfileQuery(), [counted_place("tags", "")])
        assert (counts.total, counts.facets[0].buckets) == (1, (("t", 1),))
    finally:
        files.close()


def test_every_form_of_a_search_finds_the_same(tmp_path: Path, run: Run) -> None:
    """By the best index, by walking in order, and by looking at all."""

    async def scenario() -> None:
        store = await SqliteStore.open(tmp_path)
        for number in range(30):
            row = run(f"r{number:02}", last_modified_us=number % 7)
            await add(store, row, created_by=f"c{number % 3}", tags=("t",) if number % 2 else ())
        await store.close()

    asyncio.run(scenario())
    files = open_files(tmp_path)
    try:
        query = replace(searched(created_by=["c1"], tags=["t"]), count=100)
        assert driver_of(files.searcher, query, FEW_RUNS) is not None
        assert driver_of(files.searcher, query, 3) is None
        few = [row[0] for row in files.searcher.execute(*page_sql(files.searcher, query))]
        walked = [row[0] for row in files.searcher.execute(*walk_sql(query))]
        text, values = matching_sql(query, None, ["profile.run_key"])
        looked_at = [row[0] for row in files.searcher.execute(text, values)]
        assert few == walked
        assert sorted(few) == sorted(looked_at)
        assert len(few) == 5
    finally:
        files.close()


def test_numbers_that_are_kept_are_those_of_a_count_and_nothing_is_added_up_twice(
    tmp_path: Path, run: Run
) -> None:
    async def scenario() -> None:
        store = await SqliteStore.open(tmp_path)
        for number, tags in enumerate((("a", "b"), ("a",), ("b",), ("c",), ())):
            await add(store, run(f"r{number}"), tags=tags, created_by=f"c{number % 2}")
        await store.close()

    asyncio.run(scenario())
    files = open_files(tmp_path)
    try:
        for asked, kept in (
            ({"tags": ["a"]}, 2),
            ({"any_tags": ["b"]}, 2),
            ({"any_tags": ["a", "b"]}, None),
            ({"created_by": ["c0", "c1", "c9"]}, 5),
            ({"created_by": ["c0"]}, 3),
            ({"tags": ["a"], "created_by": ["c0"]}, None),
        ):
            query = replace(searched(**asked), test=None)
            assert tallied(files.searcher, query) == kept, asked
            assert kept in (None, search(files.searcher, query).total), asked
    finally:
        files.close()
