"""The history of a run: its log entries, and what to replay for a restore, a clone or a rewind.

Sequence numbers count from 1 without holes. Entry 1 is the ``boot`` entry; a ``rewind`` entry marks the
entries it took back (``rewound_by``), which stay for audit but are never replayed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NEVER: Final = 2**63 - 1


class EntryKind(StrEnum):
    """What an entry records; ``execute`` and ``set`` are the actions that change state."""

    BOOT = "boot"
    EXECUTE = "execute"
    SET = "set"
    REWIND = "rewind"


class OutcomeStatus(StrEnum):
    """How an action ended; an error is part of the history, because state may have changed before it."""

    COMPLETED = "completed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One recorded unit of a run's history.

    ``action``: canonical action bytes (execute, set) or a msgpack map (boot, rewind). ``actor``: msgpack map
    or None. ``outcome``: msgpack of the result, or of an error map. ``digest``: 16 bytes, what a replay must
    repeat. ``at_us``: the time the action saw, microseconds since 1970. ``batch``: position within its
    request, from 0.
    """

    seq: int
    epoch: int
    kind: EntryKind
    at_us: int
    action: bytes
    actor: bytes | None
    status: OutcomeStatus
    outcome: bytes
    digest: bytes
    request_id: str | None = None
    batch: int = 0
    rewound_by: int | None = None


def effective(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """The entries that a replay applies: actions that no rewind took back, in order."""
    return [
        entry
        for entry in entries
        if entry.rewound_by is None and entry.kind in (EntryKind.EXECUTE, EntryKind.SET)
    ]
