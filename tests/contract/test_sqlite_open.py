"""Opening a data folder: schema, one worker per folder, refusals that say what to do."""

import asyncio
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from worker.log.base import Creation
from worker.log.sqlite import SqliteStore, StoreRefusedError
from worker.log.sqlite_files import Migration, migrate, migrations, open_files
from worker.runs.record import RunRecord

Run = Callable[..., RunRecord]
ROOT = Path(__file__).parents[2]


async def open_and_close(folder: Path) -> None:
    await (await SqliteStore.open(folder)).close()


def refusal(folder: Path) -> str:
    with pytest.raises(StoreRefusedError) as caught:
        asyncio.run(open_and_close(folder))
    return caught.value.message


def mark_unclean(folder: Path) -> None:
    """Leave the lock file as a killed worker leaves it."""
    (folder / "worker.lock").write_text("pid 1, started 2026-01-01T00:00:00.000Z\n")


def fill(folder: Path, run: Run, count: int = 200) -> None:
    async def main() -> None:
        store = await SqliteStore.open(folder)
        for n in range(count):
            await store.create(Creation(run(f"run {n:04}"), (), {"x": bytes(1000)}))
        await store.close()

    asyncio.run(main())


def test_the_folder_is_made_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"

    asyncio.run(open_and_close(folder))

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "worker.db").exists()


def test_the_migrations_of_an_empty_file_make_the_schema(tmp_path: Path) -> None:
    def schema(db: sqlite3.Connection) -> list[tuple[str, str, str | None]]:
        return db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()

    (tmp_path / "worker.db").touch()
    files = open_files(tmp_path)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as plain:
        migrate(plain, migrations())

        assert schema(files.writer) == schema(plain)
    tables = {name for kind, name, _ in schema(files.writer) if kind == "table"}
    full_text = {
        f"{index}_{part}" for index in ("word_index", "name_index") for part in ("config", "data", "idx")
    }
    assert tables == full_text | {
        "run",
        "entry",
        "event",
        "request",
        "variable",
        "metadata",
        "binding",
        "profile",
        "tag",
        "delivery",
        "trace",
        "tally",
        "wording",
        "word_index",
        "name_index",
    }
    assert files.writer.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))
    files.close()


def test_entries_of_before_external_functions_have_no_answers(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "worker.db", isolation_level=None)) as old:
        migrate(old, [step for step in migrations() if step.version < 5])
        old.execute("PRAGMA foreign_keys = OFF")
        old.execute(
            "INSERT INTO entry VALUES ('run', 1, 1, 'execute', 1, x'80', NULL, 'completed', x'c0', x'00', NULL, 0, NULL)"
        )

    async def main() -> None:
        store = await SqliteStore.open(tmp_path)
        assert [(entry.seq, entry.answers) for entry in await store.read("run")] == [(1, None)]
        assert await store.read_replayable("run") == [(1, 1, None, b"\x80", None, b"\x00", "completed")]
        await store.close()

    asyncio.run(main())


def test_a_migration_that_fails_leaves_the_version_before_it() -> None:
    good = Migration(1, "CREATE TABLE a (x);")
    bad = Migration(2, "CREATE TABLE b (x); CREATE TABLE a (x);")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            migrate(db, [good, bad])
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("a",)]

        migrate(db, [good, Migration(2, "CREATE TABLE b (x);")])
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    asyncio.run(open_and_close(tmp_path))
    with closing(sqlite3.connect(tmp_path / "worker.db")) as db:
        db.execute("PRAGMA user_version = 99")

    message = refusal(tmp_path)

    assert str(tmp_path / "worker.db") in message
    assert "version 99" in message
    assert f"up to {len(migrations())}" in message
    with closing(sqlite3.connect(tmp_path / "worker.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (99,)


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "worker.db")) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "worker.db").read_bytes()

    assert "another program" in refusal(tmp_path)
    assert (tmp_path / "worker.db").read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "worker.db").write_bytes(b"not a database" * 1000)

    message = refusal(tmp_path)

    assert str(tmp_path / "worker.db") in message
    assert "not a database" in message
    assert "backup" in message


@pytest.mark.parametrize("clean", (True, False))
def test_a_truncated_database_is_refused(clean: bool, tmp_path: Path, run: Run) -> None:
    fill(tmp_path, run)
    path = tmp_path / "worker.db"
    os.truncate(path, path.stat().st_size - 8192)
    if not clean:
        mark_unclean(tmp_path)

    message = refusal(tmp_path)

    assert str(path) in message
    assert "backup" in message


def test_damage_is_found_after_an_unclean_end_and_again_at_the_next_start(tmp_path: Path, run: Run) -> None:
    fill(tmp_path, run)
    path = tmp_path / "worker.db"
    content = bytearray(path.read_bytes())
    behind_the_schema = 4096 * 64
    content[behind_the_schema : behind_the_schema + 4096 * 20] = os.urandom(4096 * 20)
    path.write_bytes(content)
    mark_unclean(tmp_path)

    assert "damaged" in refusal(tmp_path)
    assert "damaged" in refusal(tmp_path)


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "File exists" in refusal(tmp_path / "file")
    (tmp_path / "data" / "worker.db").mkdir(parents=True)
    assert str(tmp_path / "data" / "worker.db") in refusal(tmp_path / "data")
    # A refused start holds nothing: the folder opens as soon as its fault is mended.
    (tmp_path / "data" / "worker.db").rmdir()
    asyncio.run(open_and_close(tmp_path / "data"))


HOLDER = """
import asyncio, sys
from pathlib import Path
from worker.log.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    print("open", flush=True)
    sys.stdin.read()
    await store.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("killed", (True, False))
def test_a_second_worker_is_refused_until_the_first_has_ended(killed: bool, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"open\n"

        message = refusal(tmp_path)
        assert f"pid {holder.pid}," in message
        assert str(tmp_path) in message

        if killed:
            holder.kill()
        else:
            holder.stdin.close()
        holder.wait()
    assert ((tmp_path / "worker.lock").read_bytes() == b"") is not killed
    asyncio.run(open_and_close(tmp_path))


def test_a_second_store_in_the_same_process_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqliteStore.open(tmp_path)
        with pytest.raises(StoreRefusedError, match=f"pid {os.getpid()},"):
            await SqliteStore.open(tmp_path)
        await store.close()

    asyncio.run(main())


def test_a_holder_that_has_not_yet_written_its_name_is_still_one(tmp_path: Path) -> None:
    with (tmp_path / "worker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert "just starting" in refusal(tmp_path)
