"""One SQL statement for many rows.

Every step of a statement gives the interpreter lock away and takes it back; a row per step would make a busy
event loop and the writer's thread wait for each other once per row.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

_CHUNKS: Final = (512, 256, 128, 64, 32, *range(16, 0, -1))
"""Rows per statement: every small number, because each statement gives the interpreter lock away, and few large
ones, so that all stay in the connection's statement cache."""

STATEMENTS: Final = 8 * len(_CHUNKS)
"""Texts that a connection is to keep prepared: those of all bulk statements, and room for others."""


class BulkStatement:
    """A statement whose text has ``{rows}`` where lists of ``columns`` values go."""

    def __init__(self, template: str, *, columns: int) -> None:
        row = f"({','.join('?' * columns)})"
        self._texts = {size: template.replace("{rows}", ",".join([row] * size)) for size in _CHUNKS}

    def __call__(self, db: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run it for all rows, in order; returns how many rows of the database it changed."""
        changed = done = 0
        for size in _CHUNKS:
            while len(rows) - done >= size:
                values = tuple(chain.from_iterable(rows[done : done + size]))
                changed += db.execute(self._texts[size], values).rowcount
                done += size
        return changed
