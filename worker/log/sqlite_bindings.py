"""Which run a world has, and a project's singular one: the statements on the table ``binding``."""

import sqlite3
from typing import Final

from worker.log import rules
from worker.log.base import Binding

_LIVE: Final = (
    "SELECT run_key FROM binding JOIN run USING (run_key)"
    " WHERE binding.project = ? AND world_key = ? AND NOT closed AND NOT hidden"
)
_BIND: Final = (
    "INSERT INTO binding (project, world_key, run_key) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET run_key = excluded.run_key"
)


def bound_run(db: sqlite3.Connection, binding: Binding) -> str | None:
    """The run that a binding names, if that is neither closed nor hidden."""
    rows = db.execute(_LIVE, (binding.project, binding.world_key)).fetchall()
    return rows[0][0] if rows else None


def bind_new(db: sqlite3.Connection, binding: Binding, run_key: str) -> None:
    """Bind a run that was just created, unless another one is bound.

    Raises:
        FencedError: there is one.
    """
    current = bound_run(db, binding)
    if current is not None:
        raise rules.already_bound(binding, current)
    rebind(db, binding, run_key)


def rebind(db: sqlite3.Connection, binding: Binding, run_key: str) -> None:
    """Bind a run instead of whatever is bound."""
    db.execute(_BIND, (binding.project, binding.world_key, run_key))


def unbind(db: sqlite3.Connection, binding: Binding) -> None:
    """Bind nothing."""
    db.execute(
        "DELETE FROM binding WHERE project = ? AND world_key = ?", (binding.project, binding.world_key)
    )
