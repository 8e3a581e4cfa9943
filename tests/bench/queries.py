"""Queries over a directory of many runs: pages, each with its number of all matches."""

import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.rounds import Row
from worker.channel import pack
from worker.log.rows import run_to_row, value_to_row
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_files import DATABASE_FILE
from worker.runs.filters import parse_filter, parse_sort
from worker.runs.query import RunQuery
from worker.runs.record import RunRecord

GOAL_MS: Final = 50.0
GROUPS: Final = 1000
BATCH: Final = 20_000
QUESTIONS: Final[tuple[tuple[str, str, str, bool], ...]] = (
    ("a variable and a flag, 0.5 % match", "var.score>=990;run.marked=true", "", True),
    ("the same, newest first", "var.score>=990;run.marked=true", "-run.created", True),
    ("a variable and a group's scope", "run.scopeKey=group 7;var.score>=500", "-run.created", True),
    ("a variable and a flag, 25 % match", "var.score>=500;run.marked=true", "-run.created", False),
)


def queries(*, runs: int, rounds: int) -> Iterator[Row]:
    """Pages of 100 runs with a variable each, once warm."""
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_measure(Path(folder), runs, rounds))


async def _measure(folder: Path, runs: int, rounds: int) -> list[Row]:
    await (await SqliteStore.open(folder)).close()
    fill(folder / DATABASE_FILE, runs)
    store = await SqliteStore.open(folder)
    try:
        rows = []
        for name, where, sort, has_goal in QUESTIONS:
            taken = await _milliseconds(store, where, sort, rounds)
            row = Row(f"query of {runs:,} runs: {name}", taken, "ms")
            if has_goal:
                row.goal, row.met = f"≤ {GOAL_MS:.0f} ms", taken <= GOAL_MS
            rows.append(row)
        return rows
    finally:
        await store.close()


async def _milliseconds(store: SqliteStore, where: str, sort: str, rounds: int) -> float:
    query = RunQuery(parse_filter(where), parse_sort(sort), variables=("score",))
    took = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        page = await store.query(query)
        took.append((time.perf_counter() - began) * 1000)
        assert page.total
    return median(took[1:])


def fill(path: Path, runs: int) -> None:
    """Runs of ``GROUPS`` groups, a half of them marked, each with a score of 0 to 999 and a text."""
    draw = random.Random(7)
    db = sqlite3.connect(path)
    db.execute("PRAGMA cache_size = -500000")
    with db:
        for first in range(0, runs, BATCH):
            numbers = range(first, min(first + BATCH, runs))
            rows = [run_to_row(_run(number, marked=draw.random() < 0.5)) for number in numbers]
            columns = ", ".join(rows[0])
            values = ", ".join(f":{name}" for name in rows[0])
            db.executemany(f"INSERT INTO run ({columns}) VALUES ({values})", rows)
            db.executemany(
                "INSERT INTO variable (run_key, name, value, scalar, at_ms) VALUES (?, ?, ?, ?, ?)",
                [value for number in numbers for value in _values(number, draw)],
            )
    db.close()


def _key(number: int) -> str:
    return f"{number:016x}{number * 2654435761 % 16**20:020x}"


def _run(number: int, *, marked: bool) -> RunRecord:
    return RunRecord(
        run_key=_key(number),
        model_file="market/model.py",
        model_language="PYTHON_3",
        model_fingerprint="f" * 64,
        created_us=number * 1000,
        last_modified_us=number * 1000,
        seed=number,
        scope={
            "scope_boundary": "GROUP",
            "scope_key": f"group {number % GROUPS}",
            "user_key": f"user {number}",
        },
        permit={"read_lock": "USER", "write_lock": "USER"},
        marked=marked,
    )


def _values(number: int, draw: random.Random) -> list[tuple[Any, ...]]:
    score = value_to_row(_key(number), "score", pack(draw.randrange(1000)))
    return [value_to_row(_key(number), "name", pack(f"player {number}")), score]
