"""A bound on how long reads may take: SQLite asks from time to time whether to go on."""

import sqlite3
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

from worker.errors import TooSlowError

STEPS: Final = 20_000
"""Of SQLite's machine between two questions: about a millisecond."""

_Answer = TypeVar("_Answer")


def within_seconds(
    db: sqlite3.Connection, seconds: float, read: Callable[[sqlite3.Connection], _Answer]
) -> _Answer:
    """What ``read`` gives; its statements fail once ``seconds`` are over.

    Raises:
        TooSlowError: they are over.
    """
    ends = monotonic() + seconds
    db.set_progress_handler(lambda: monotonic() > ends, STEPS)
    try:
        return read(db)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT and monotonic() > ends:
            raise TooSlowError(seconds) from error
        raise
    finally:
        db.set_progress_handler(None, 0)
