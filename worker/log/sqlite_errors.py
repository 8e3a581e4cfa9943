"""SQLite's errors as the worker's: the one place where they are translated."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from worker.errors import LogUnavailableError


class StoreRefusedError(LogUnavailableError):
    """The data folder cannot be opened; the message says which file, why, and what to do."""


_OWN_FAULTS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.NotSupportedError,
)

_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_NOTHING_WRITTEN: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
)
"""What SQLite gives only before the frame that commits is whole in the write-ahead log."""

_PRIMARY_CODE_MASK: Final = 0xFF
_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "free space on its disk",
    sqlite3.SQLITE_IOERR: "check its disk, its quota and the file size limit",
    sqlite3.SQLITE_READONLY: "check that the worker's user may write to the file and its folder",
    sqlite3.SQLITE_PERM: "check that the worker's user may write to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "check that the worker's user may write to the file and its folder",
    sqlite3.SQLITE_BUSY: "end the other program that holds a lock on it",
    sqlite3.SQLITE_LOCKED: "end the other program that holds a lock on it",
    sqlite3.SQLITE_CORRUPT: "restore the folder from a backup, or move it away to begin with an empty one",
    sqlite3.SQLITE_NOTADB: "restore the folder from a backup, or move it away to begin with an empty one",
}


def is_own_fault(error: BaseException) -> bool:
    """Whether only the write that raised it fails; otherwise disk or database fail everything."""
    return not isinstance(error, sqlite3.Error) or isinstance(error, _OWN_FAULTS)


def is_damage(error: BaseException) -> bool:
    """Whether a damaged page was met: that fails those who need it, but their whole transaction with them."""
    return isinstance(error, sqlite3.Error) and _primary_code(error) in _DAMAGE


def may_be_there(error: sqlite3.Error) -> bool:
    """Whether a commit that failed may have reached the write-ahead log whole, so that a crash brings it back."""
    return _primary_code(error) not in _NOTHING_WRITTEN


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE_MASK


def translate(
    error: sqlite3.Error, path: Path, refusal: type[LogUnavailableError] = LogUnavailableError
) -> Exception:
    """What callers see: ``ValueError`` for what the schema forbids, else ``refusal`` with file and advice."""
    if isinstance(error, _OWN_FAULTS):
        return ValueError(f"the schema of {path} refuses this write: {error}")
    return unavailable(error, path, refusal)


def unavailable(
    error: sqlite3.Error,
    path: Path,
    refusal: type[LogUnavailableError] = LogUnavailableError,
    **information: Any,
) -> LogUnavailableError:
    """The refusal of disk or database, with file and advice."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    advice = _ADVICE.get(_primary_code(error), "see SQLite's message")
    return refusal(f"{path}: {error} ({name}); {advice}", path=str(path), reason=name, **information)


@contextmanager
def driver_errors(path: Path, refusal: type[LogUnavailableError] = LogUnavailableError) -> Iterator[None]:
    """Whatever SQLite raises inside leaves translated."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path, refusal) from error
