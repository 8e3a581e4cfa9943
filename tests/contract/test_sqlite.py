"""What only the SQLite store promises while it runs: durability, faults of the disk, fairness."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from worker.errors import LogUnavailableError
from worker.log import sqlite_writes
from worker.log.base import Append, Creation, Rewind, StoredRequest
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_errors import StoreRefusedError
from worker.log.sqlite_files import open_files
from worker.runs.record import RunRecord

Run = Callable[..., RunRecord]
Appending = Callable[..., Append]
Grown = Callable[..., Awaitable[None]]
DIGEST = b"q" * 16
ROOT = Path(__file__).parents[2]


def test_everything_is_there_after_reopening(
    tmp_path: Path, run: Run, appending: Appending, grown: Grown
) -> None:
    async def image(store: SqliteStore) -> object:
        return (
            await store.get("run"),
            await store.read("run"),
            await store.read_variables("run"),
            await store.read_metadata("run"),
            [store.find_request(name) for name in ("request 1", "request 3", "edit", "meta", "back")],
            await store.read_outcomes(store.find_request("request 3")[0]),
        )

    async def main() -> None:
        store = await SqliteStore.open(tmp_path)
        await grown(store, 2)
        await store.append(appending(2, count=2, records={"x": b"1"}))
        await store.rewind(
            Rewind("run", 1, 4, 2, None, 90, {"y": b"2"}, StoredRequest("back", "run", DIGEST))
        )
        await store.claim("run")
        await store.update(
            "run",
            lambda row: replace(row, marked=True),
            StoredRequest("edit", "run", DIGEST),
            lambda _: b"\xc0",
        )
        await store.update_metadata(
            "run", lambda _: {"m": [1.5]}, StoredRequest("meta", "run", DIGEST), at_us=99
        )
        before = await image(store)
        await store.close()

        store = await SqliteStore.open(tmp_path)
        assert await image(store) == before
        await store.append(appending(2, epoch=2, request=None))
        await store.close()

    asyncio.run(main())


def test_the_writer_synchronises_every_commit(tmp_path: Path) -> None:
    files = open_files(tmp_path)

    def pragma(name: str) -> object:
        return files.writer.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    assert pragma("busy_timeout") == 5000
    files.close()


@pytest.mark.parametrize("connection", ("reader", "finder"))
def test_reading_connections_cannot_write(connection: str, tmp_path: Path) -> None:
    files = open_files(tmp_path)

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        getattr(files, connection).execute("DELETE FROM run")
    files.close()


def test_appends_of_many_runs_are_done_in_one_statement_per_table(
    tmp_path: Path, run: Run, appending: Appending
) -> None:
    files = open_files(tmp_path)
    keys = [f"run {n}" for n in range(77)]
    for key in keys:
        sqlite_writes.create(files.writer, Creation(run(key), ()))
    statements: list[str] = []
    files.writer.set_trace_callback(statements.append)

    sqlite_writes.append_all(
        files.writer, [appending(0, key, count=2, records={"x": key.encode()}) for key in keys]
    )

    # 77 rows of three tables go as 64 and 13, the 154 entries as 128, 16 and 10.
    assert len(statements) == 9
    files.writer.set_trace_callback(None)
    assert files.writer.execute("SELECT count(*), sum(seq) FROM run").fetchall() == [(77, 154)]
    assert files.writer.execute("SELECT count(*) FROM entry").fetchall() == [(154,)]
    files.close()


def test_what_the_schema_forbids_fails_its_own_write_only(
    tmp_path: Path, run: Run, appending: Appending, grown: Grown
) -> None:
    async def main() -> None:
        store = await SqliteStore.open(tmp_path)
        await grown(store, 0)
        bad, good = await asyncio.gather(
            store.update("run", lambda row: replace(row, compare_after_seq=-1)),
            store.append(appending(0)),
            return_exceptions=True,
        )
        assert isinstance(bad, ValueError)
        assert good is None
        assert len(await store.read("run")) == 1
        await store.close()

    asyncio.run(main())


FULL_DISK = """
import asyncio, os, resource, sys
from pathlib import Path
from worker.errors import LogUnavailableError
from worker.log.base import Append, Creation
from worker.log.sqlite import SqliteStore
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.record import RunRecord

def append(key, head):
    entry = LogEntry(head + 1, 1, EntryKind.SET, 1, bytes(3000), None, OutcomeStatus.COMPLETED, b"", b"")
    return Append(key, 1, head, (entry,), 1)

async def main():
    folder = Path(sys.argv[1])
    store = await SqliteStore.open(folder)
    for key in "abc":
        await store.create(Creation(RunRecord(key, "m", "python", "f", 1, 1, 1, {}, {}, epoch=1), ()))
    limit = (folder / "worker.db-wal").stat().st_size + 300_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    head, failed = 0, None
    while failed is None:
        results = await asyncio.gather(*(store.append(append(k, head)) for k in "abc"), return_exceptions=True)
        failed = next((result for result in results if result is not None), None)
        head += failed is None
    assert head > 0, head
    assert all(isinstance(result, LogUnavailableError) for result in results), results
    assert str(folder / "worker.db") in failed.message, failed.message
    assert "SQLITE_" in failed.message and failed.retryable, failed.message
    for key in "abc":
        assert len(await store.read(key, limit=10_000)) == head
        assert (await store.get(key)).seq == head
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await asyncio.gather(*(store.append(append(key, head)) for key in "abc"))
    await store.close()
    store = await SqliteStore.open(folder)
    for key in "abc":
        entries = await store.read(key, limit=10_000)
        assert [entry.seq for entry in entries] == list(range(1, head + 2))
    await store.close()
    print("recovered")

asyncio.run(main())
"""


def test_a_full_disk_fails_the_group_and_the_store_recovers(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], cwd=ROOT, capture_output=True, check=False
    )

    assert child.stderr.decode() == ""
    assert child.stdout == b"recovered\n"


def test_another_program_that_holds_the_database_is_waited_for_and_then_named(
    tmp_path: Path, appending: Appending, grown: Grown
) -> None:
    async def main() -> None:
        store = await SqliteStore.open(tmp_path)
        await grown(store, 0)
        with closing(sqlite3.connect(tmp_path / "worker.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LogUnavailableError, match="SQLITE_BUSY"):
                await store.append(appending(0))
            assert await store.read("run") == []
            other.execute("ROLLBACK")
        await store.append(appending(0))
        await store.close()

    asyncio.run(main())


def test_a_busy_event_loop_does_not_starve_the_writer(
    tmp_path: Path, appending: Appending, grown: Grown
) -> None:
    async def main() -> None:
        store = await SqliteStore.open(tmp_path)
        await grown(store, 0)
        turns = 0

        async def append_some() -> None:
            for head in range(20):
                await store.append(appending(head))

        appends = asyncio.ensure_future(append_some())
        while not appends.done():
            # A loop that is never idle: without giving way, a thousand turns see no append at all.
            sum(range(2000))
            turns += 1
            await asyncio.sleep(0)
        await appends
        await store.close()
        assert turns < 20_000

    asyncio.run(main())


def test_damage_fails_the_write_that_needs_the_page_and_no_other_of_its_group(
    tmp_path: Path, run: Run, appending: Appending
) -> None:
    async def fill() -> None:
        store = await SqliteStore.open(tmp_path)
        for key in "ab":
            await store.create(Creation(run(key), ()))
            for head in range(200):
                await store.append(appending(head, key, records={}))
        await store.close()

    async def main() -> None:
        files = open_files(tmp_path)
        garble_last_entries(files.path)
        files.writer.execute("PRAGMA shrink_memory")
        store = SqliteStore(files)
        hurt, whole = await asyncio.gather(
            store.append(appending(200, "b")), store.append(appending(200, "a")), return_exceptions=True
        )
        assert isinstance(hurt, LogUnavailableError)
        assert hurt.information["reason"] == "SQLITE_CORRUPT"
        assert hurt.information["applied"] == "no"
        assert whole is None
        assert not store.in_outage
        assert "SQLITE_CORRUPT" in store.health()["read_failures"]["message"]
        await store.close()

    asyncio.run(fill())
    asyncio.run(main())
    with pytest.raises(StoreRefusedError, match="damaged"):
        open_files(tmp_path)


def garble_last_entries(path: Path) -> None:
    """Overwrite the head of the page that the last entries of the last run are in."""
    with closing(sqlite3.connect(path)) as db:
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entry'")
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        page = file.read(4096)
        assert page[0] == 2, "the tree of entries has an inner page"
        last = int.from_bytes(page[8:12], "big")
        file.seek((last - 1) * 4096)
        file.write(bytes([255] * 8))
