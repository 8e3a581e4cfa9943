"""Searches of profiles over a directory of many runs: pages with their totals, and facets."""

import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from protocol.entities import RunStatus
from protocol.profiles import SearchQuery
from tests.bench.rounds import Row
from worker.channel import pack
from worker.log.rows import metadata_to_row, profile_to_row, run_to_row
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_facets import facets_sql
from worker.log.sqlite_files import DATABASE_FILE
from worker.log.sqlite_search import page_sql
from worker.runs.documents import parse_document
from worker.runs.fields import counted_place, words_of
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.runs.search import ProfileQuery, ProfileSort, Reader, search_tree

GOAL_MS: Final = 100.0
BATCH: Final = 20_000
FIVE: Final = ("environment", "interaction", "model", "tags", "status")
USER: Final = Reader(
    frozenset({"PARTICIPANT", "ANONYMOUS"}), "user 5", frozenset({"USER", "PARTICIPANT", "ANONYMOUS"})
)
Ask = Callable[[SqliteStore], Awaitable[Any]]


def searched(**fields: Any) -> ProfileQuery:
    """A search by its fields."""
    return ProfileQuery(search_tree(SearchQuery(**fields)))


PAGES: Final[tuple[tuple[str, ProfileQuery, bool], ...]] = (
    ("list", ProfileQuery(), True),
    ("list, as a user who sees 1 run", ProfileQuery(reader=USER), True),
    ("list, by name", ProfileQuery(sort=(ProfileSort("name", descending=False),)), True),
    ("list, roots", searched(parent=False), True),
    ("search by status, 8 %", searched(status=[RunStatus.FAILED]), True),
    ("search by status, 1 %", searched(status=[RunStatus.EXECUTING]), True),
    ("search by interaction, 7 %", searched(interaction=["models/m0/model.py"]), True),
    ("search by tag, 6 %", searched(tags=["tag0"]), True),
    ("search by two tags", searched(tags=["tag100", "tag200"]), True),
    ("search by metadata, 1 run", searched(metadata={"order": "o77777"}), True),
    ("search by metadata, 1 %", searched(metadata={"team": "t7"}), False),
    ("search by a part of the name, 180 runs", searched(name="step w77 "), True),
    ("search by a word, 1400 runs", searched(query="w77"), True),
    ("search by two words", searched(query="w77 w78"), True),
    (
        "search by a time of 1000 runs",
        searched(start="1970-01-01T00:10:00Z", end="1970-01-01T00:10:00.999Z"),
        True,
    ),
    (
        "search by status and environment, 5 %",
        searched(status=[RunStatus.READY], environment=["env3"]),
        False,
    ),
    ("find by created_by, 100 runs", ProfileQuery(parse_document({"created_by": "user:77"})), True),
    (
        "find by object and a parameter",
        ProfileQuery(parse_document({"object": "group 7", "parameters.order.id": {"$gt": 5000}})),
        True,
    ),
    ("find by a parameter, no index", ProfileQuery(parse_document({"parameters.order.id": 77777})), False),
)
FACETS: Final[tuple[tuple[str, ProfileQuery, tuple[str, ...], bool], ...]] = (
    ("five facets of all", ProfileQuery(), FIVE, True),
    ("five facets, as a user who sees 1 run", ProfileQuery(reader=USER), FIVE, True),
    ("five facets of 100 runs", searched(created_by=["user:77"]), FIVE, True),
    ("five facets of 1000 runs", searched(tags=["tag400"]), FIVE, True),
    ("five facets of 8 %", searched(status=[RunStatus.FAILED]), FIVE, False),
    ("five facets of 90 %", searched(status=[RunStatus.READY]), FIVE, False),
    ("a facet of metadata of all", ProfileQuery(), ("metadata.team",), False),
)


def searches(*, runs: int, rounds: int) -> Iterator[Row]:
    """Pages of 100 runs and facets, once warm; their plans go to stderr."""
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_measure(Path(folder), runs, rounds))


async def _measure(folder: Path, runs: int, rounds: int) -> list[Row]:
    await (await SqliteStore.open(folder)).close()
    fill(folder / DATABASE_FILE, runs)
    store = await SqliteStore.open(folder)
    store.search_seconds = 600.0
    try:
        rows = []
        for name, ask, has_goal in _questions(folder / DATABASE_FILE):
            taken = await _milliseconds(store, ask, rounds)
            row = Row(f"{runs:,} runs: {name}", taken, "ms")
            if has_goal:
                row.goal, row.met = f"≤ {GOAL_MS:.0f} ms", taken <= GOAL_MS
            rows.append(row)
        return rows
    finally:
        await store.close()


def _questions(path: Path) -> Iterator[tuple[str, Ask, bool]]:
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    for name, query, has_goal in PAGES:
        _explain(db, name, *page_sql(db, query))
        yield name, lambda store, query=query: store.search(query), has_goal  # type: ignore[misc]  # mypy has no type for a default of a lambda
    for name, query, fields, has_goal in FACETS:
        places = [counted_place(field, "facets") for field in fields]
        for text, values in facets_sql(db, query, places):
            _explain(db, name, text, values)
        yield (
            name,
            lambda store, query=query, places=places: store.count_facets(query, places),  # type: ignore[misc]  # as above
            has_goal,
        )
    db.close()


def _explain(db: sqlite3.Connection, name: str, text: str, values: list[Any]) -> None:
    """Print how a statement is performed."""
    steps = [row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    sys.stderr.write(f"{name}\n    " + "\n    ".join(steps) + "\n")


async def _milliseconds(store: SqliteStore, ask: Ask, rounds: int) -> float:
    took: list[float] = []
    while len(took) <= rounds and sum(took) < 10_000:
        began = time.perf_counter()
        await ask(store)
        took.append((time.perf_counter() - began) * 1000)
    return median(took[1:] or took)


def fill(path: Path, runs: int) -> None:
    """Runs of 200 models, 20 environments and 10,000 creators, with tags, metadata, parameters and results."""
    draw = random.Random(7)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA cache_size = -500000")
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    db.execute("BEGIN")
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    for first in range(0, runs, BATCH):
        _add(db, [_pair(number, draw) for number in range(first, min(first + BATCH, runs))])
    db.execute(
        "INSERT INTO tally SELECT project, field, value, test, read_lock, count(*) FROM counted GROUP BY 1, 2, 3, 4, 5"
    )
    for index in ("word_index", "name_index"):
        db.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")
    for _, sql in triggers:
        db.execute(sql)
    db.execute("COMMIT")
    db.close()


def _add(db: sqlite3.Connection, pairs: list[tuple[RunRecord, RunProfile, dict[str, Any]]]) -> None:
    for table, rows in (
        ("run", [run_to_row(run) for run, _, _ in pairs]),
        ("profile", [profile_to_row(profile) for _, profile, _ in pairs]),
        (
            "wording",
            [
                {"run_key": one.run_key, "name": one.name.casefold(), "words": words_of(one)}
                for _, one, _ in pairs
            ],
        ),
    ):
        columns, values = ", ".join(rows[0]), ", ".join(f":{name}" for name in rows[0])
        db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", rows)
    db.executemany(
        "INSERT INTO tag (run_key, project, tag) VALUES (?, '', ?)",
        [(profile.run_key, tag) for _, profile, _ in pairs for tag in profile.tags],
    )
    db.executemany(
        "INSERT INTO metadata (run_key, name, value, scalar, at_ms, document) VALUES (?, ?, ?, ?, ?, ?)",
        [
            metadata_to_row(run.run_key, name, pack(value))
            for run, _, values in pairs
            for name, value in values.items()
        ],
    )


def _pair(number: int, draw: random.Random) -> tuple[RunRecord, RunProfile, dict[str, Any]]:
    key = f"{number:016x}{number * 2654435761 % 16**20:020x}"
    status = draw.choices(list(RunStatus), (1, 1, 1, 1, 88, 8))[0]
    model = f"m{int(200 * draw.random() ** 2)}"
    tags = sorted({f"tag{int(500 * draw.random() ** 2)}" for _ in range(draw.randrange(4))})
    word = f"w{draw.randrange(5000)}"
    run = RunRecord(
        run_key=key,
        model_file=f"models/{model}/model.py",
        model_language="PYTHON_3",
        model_fingerprint=f"{number % 300:064x}",
        created_us=number * 1000,
        last_modified_us=number * 1000 + draw.randrange(10**9),
        seed=number,
        scope={
            "scope_boundary": "GROUP",
            "scope_key": f"group {number % 1000}",
            "user_key": f"user {number}",
        },
        permit={"read_lock": "USER", "write_lock": "USER"},
        wall_us=draw.randrange(10**7),
    )
    profile = RunProfile(
        key,
        "",
        f"{model}: step {word} 2026-11-{1 + number % 28:02d}T{number % 24:02d}:00:00Z",
        status,
        f"env{number % 20}",
        finish_reason="timeout" if status is RunStatus.FAILED else None,
        parent=key if number % 10 == 0 else None,
        created_by=f"user:{number % 10_000}",
        source_type="api" if number % 5 else "ui",
        source={"type": "api", "label": "x"},
        tags=tuple(tags),
        test=number % 100 == 99,
        parameters={"order": {"id": number}, "customer": f"c{number % 5000}"},
        result={"value": number % 1000, "note": " ".join(f"w{draw.randrange(5000)}" for _ in range(6))},
    )
    return run, profile, {"order": f"o{number}", "team": f"t{number % 100}"}
