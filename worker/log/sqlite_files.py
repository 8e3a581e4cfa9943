"""Opening the data folder: lock, connections, checks, schema.

SQLite itself refuses a file with a foreign header, or shorter than its header says. After anything but a clean
close (a crash, a file put there by hand) ``PRAGMA quick_check`` reads the database once from end to end: SQLite
repairs what a crash leaves by itself, but a crash is also when disks lose what they had promised. A small database
is looked through at every start: it costs less than the first zygote.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from worker.log.folder_lock import FolderLock
from worker.log.rows import at_ms_of, document_of, scalar_of
from worker.log.sqlite_bulk import STATEMENTS
from worker.log.sqlite_errors import StoreRefusedError, driver_errors
from worker.log.sqlite_words import words_of_row
from worker.runs.profile import default_name

DATABASE_FILE: Final = "worker.db"
LOCK_FILE: Final = "worker.lock"
APPLICATION_ID: Final = 0x6D777231
BUSY_TIMEOUT_SECONDS: Final = 5.0
JOURNAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What the write-ahead log is cut back to after a burst."""
ALWAYS_CHECKED_BYTES: Final = 256 * 1024 * 1024
"""A quarter of a second, where its pages are in memory."""

SEARCH_CACHE_KIB: Final = 128 * 1024
"""Pages that queries over all runs keep: one that looks at 10,000 of a million runs visits 80 MB of them."""

OnCheck = Callable[[Path, int], None]
"""Takes the database's path and its size in bytes."""

_OLDEST_SQLITE: Final = (3, 37, 0)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: the script that leads to ``version``."""

    version: int
    script: str


def migrations() -> list[Migration]:
    """All steps this worker knows, in order: ``migrations/NNNN_what.sql``."""
    scripts = [
        item for item in files(__package__).joinpath("migrations").iterdir() if item.name.endswith(".sql")
    ]
    return sorted(
        (Migration(int(item.name.split("_")[0]), item.read_text(encoding="utf-8")) for item in scripts),
        key=lambda migration: migration.version,
    )


def migrate(db: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Apply the steps that are missing, each in a transaction with its version number.

    Raises ``sqlite3.Error`` and leaves the database at the last version that was reached.
    """
    db.create_function("scalar_of", 1, scalar_of, deterministic=True)
    db.create_function("at_ms_of", 1, at_ms_of, deterministic=True)
    db.create_function("default_name", 2, default_name, deterministic=True)
    db.create_function("document_of", 1, document_of, deterministic=True)
    db.create_function("folded", 1, str.casefold, deterministic=True)
    db.create_function("words_of_row", 5, words_of_row, deterministic=True)
    current = _pragma(db, "user_version")
    for step in steps:
        if step.version > current:
            try:
                db.executescript(
                    f"BEGIN IMMEDIATE;\n{step.script}\nPRAGMA user_version = {step.version};\nCOMMIT;"
                )
            except sqlite3.Error:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """What a store holds open. Each connection may be used by one thread at a time."""

    path: Path
    lock: FolderLock
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    finder: sqlite3.Connection
    searcher: sqlite3.Connection

    def close(self, *, closed_cleanly: bool = True) -> None:
        """Close all; the writer last, which folds the write-ahead log into the database.

        ``closed_cleanly`` False has the next opening look through the database.
        """
        for connection in (self.searcher, self.finder, self.reader, self.writer):
            connection.close()
        self.lock.release(closed_cleanly=closed_cleanly)


def open_files(folder: Path, on_check: OnCheck | None = None) -> StoreFiles:
    """Lock the folder (created 0700 when missing), then check, migrate and connect.

    ``on_check`` is told, on the caller's thread, of a check that reads the whole database and may take long.

    Raises:
        StoreRefusedError: in use, not ours, newer than this worker, damaged, or not usable; nothing is left
            open or changed.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreRefusedError(
            f"SQLite {sqlite3.sqlite_version} is too old, needed is 3.37 or newer (STRICT tables)"
        )
    if not _has_full_text():
        raise StoreRefusedError(
            f"SQLite {sqlite3.sqlite_version} was compiled without FTS5, which searches need; use a Python whose "
            "SQLite has it, as those of python.org, of uv and of the distributions have"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreRefusedError(
            f"data folder {folder} cannot be made: {error.strerror}; choose another or mend its parent",
            path=str(folder),
        ) from error
    lock = FolderLock.acquire(folder / LOCK_FILE)
    with _undone_on_error() as undo:
        undo.callback(lock.release, closed_cleanly=lock.closed_cleanly)
        path = folder / DATABASE_FILE
        with driver_errors(path, StoreRefusedError):
            writer = _connect(path)
            undo.callback(writer.close)
            size = path.stat().st_size if path.is_file() else 0
            if on_check is not None and size and not lock.closed_cleanly:
                on_check(path, size)
            _judge(writer, path, closed_cleanly=lock.closed_cleanly)
            _configure_writer(writer, path)
            migrate(writer, migrations())
            reader = _connect_to_read(path)
            undo.callback(reader.close)
            finder = _connect_to_read(path)
            undo.callback(finder.close)
            searcher = _connect_to_read(path)
            searcher.execute(f"PRAGMA cache_size = -{SEARCH_CACHE_KIB}")
            searcher.execute("PRAGMA temp_store = MEMORY")
        return StoreFiles(path, lock, writer, reader, finder, searcher)


def _has_full_text() -> bool:
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE VIRTUAL TABLE probe USING fts5 (text, tokenize = 'trigram')")
    except sqlite3.OperationalError:
        return False
    else:
        return True
    finally:
        db.close()


@contextmanager
def _undone_on_error() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack
        stack.pop_all()


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )


def _connect_to_read(path: Path) -> sqlite3.Connection:
    return _connect(path, read_only=True)


def _configure_writer(db: sqlite3.Connection, path: Path) -> None:
    """Durable at every commit: a write-ahead log, synchronised before the commit returns."""
    mode = _pragma(db, "journal_mode = WAL")
    if mode != "wal":
        raise StoreRefusedError(
            f"{path}: its file system cannot hold a write-ahead log (journal mode stays {mode}); "
            "put the data folder on a local disk",
            path=str(path),
        )
    db.execute("PRAGMA synchronous = FULL")
    # What a statement may have to undo is kept in memory, not in a file that is made and removed each time.
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")


def _judge(db: sqlite3.Connection, path: Path, *, closed_cleanly: bool) -> None:
    """Refuse what is not ours, newer, or damaged, before anything is written to it."""
    found = _pragma(db, "user_version")
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if (found or tables) and _pragma(db, "application_id") != APPLICATION_ID:
        raise StoreRefusedError(
            f"{path} is a database of another program; choose another data folder", path=str(path)
        )
    known = migrations()[-1].version
    if found > known:
        raise StoreRefusedError(
            f"{path} has schema version {found}, this worker knows versions up to {known}; start the newer "
            "worker, or restore the folder from a backup made before it was upgraded",
            path=str(path),
            found=found,
            known=known,
        )
    if closed_cleanly and path.stat().st_size > ALWAYS_CHECKED_BYTES:
        return
    finding = " ".join(str(_pragma(db, "quick_check(1)")).split())
    if finding != "ok":
        raise _damaged(path, f"quick_check: {finding}")


def _damaged(path: Path, finding: str) -> StoreRefusedError:
    return StoreRefusedError(
        f"{path} is damaged ({finding}); restore the folder from a backup, or move it away to begin with an "
        "empty one",
        path=str(path),
        finding=finding,
    )


def _pragma(db: sqlite3.Connection, pragma: str) -> Any:
    return db.execute(f"PRAGMA {pragma}").fetchone()[0]
