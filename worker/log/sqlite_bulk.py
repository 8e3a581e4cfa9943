"""One SQL statement for many rows.

Every step of a statement gives the interpreter lock away and takes it back; a row per step would make a busy
event loop and the writer's thread wait for each other once per row.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

_CHUNKS: Final = tuple(2**power for power in range(9, -1, -1))
"""Rows per statement: few sizes, so that all stay in the connection's statement cache."""


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
