"""The history of a run: its log entries, and what to replay for a restore, a clone or a rewind.

Sequence numbers count from 1 without holes. Entry 1 is the ``boot`` entry; a ``rewind`` entry marks the
entries it took back (``rewound_by``), which stay for audit but are never replayed again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

PAGE_BYTES: Final = 4 * 1024 * 1024
"""What entries that are read at once carry of their callers' and the model's, unless it is the first one alone: a history
may hold thousands of large ones."""
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
    request, from 0. ``answers``: what external functions were asked and answered meanwhile, as the channel has it.
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
    answers: bytes | None = None


def effective(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """The entries that a replay applies: actions that no rewind took back, in order."""
    return [
        entry
        for entry in entries
        if entry.rewound_by is None and entry.kind in (EntryKind.EXECUTE, EntryKind.SET)
    ]


Replayable = tuple[int, int, bytes | None, bytes, bytes | None, bytes, str]
"""What a replay needs of an entry: seq, at_us, actor, action, answers, digest, status.

A plain tuple, as there may be millions.
"""


def replayable(entries: Sequence[LogEntry]) -> list[Replayable]:
    """What a replay needs of those entries that it applies."""
    return [
        (entry.seq, entry.at_us, entry.actor, entry.action, entry.answers, entry.digest, entry.status.value)
        for entry in effective(entries)
    ]


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to replay: every effective action up to and including ``through_seq``.

    ``compare_after_seq``: outcomes of entries up to here were recorded under another execution context and
    need not repeat; 0 compares all.
    """

    through_seq: int = NEVER
    compare_after_seq: int = 0


class RewindRefusedError(Exception):
    """There is no such point to go back to; the message says what there is."""


class RewindFinder:
    """Finds the seq to go back to while a history is read through, page by page, once.

    A step is a completed call of the marked operation that no rewind took back. ``count`` steps back means
    keeping everything before the ``count``-th last step; a request that performed several actions is only
    split where a step stands inside it.
    """

    def __init__(self, is_step: Callable[[LogEntry], bool]) -> None:
        self._is_step = is_step
        self._steps: list[int] = []
        self._rewound: list[tuple[int, int]] = []

    def feed(self, page: Iterable[LogEntry]) -> None:
        """Take the next entries, rewound ones included."""
        for entry in page:
            if entry.rewound_by is not None:
                self._rewound.append((entry.seq, entry.rewound_by))
            elif (
                entry.kind is EntryKind.EXECUTE
                and entry.status is OutcomeStatus.COMPLETED
                and self._is_step(entry)
            ):
                self._steps.append(entry.seq)

    def by_count(self, count: int) -> int:
        """The seq to keep up to, ``count`` steps back.

        Raises:
            RewindRefusedError: ``count`` is below 1 or more than there are steps.
        """
        available = len(self._steps)
        if not 1 <= count <= available:
            raise RewindRefusedError(
                f"rewind_count must be 1 to {available} (the steps there are), not {count}"
            )
        return self._steps[-count] - 1

    def by_seq(self, to_seq: int, head_seq: int) -> int:
        """``to_seq`` itself, if the run can go back to it.

        Raises:
            RewindRefusedError: it is not within the history, or was taken back by an earlier rewind.
        """
        if not 1 <= to_seq < head_seq:
            raise RewindRefusedError(f"to_seq must be 1 to {head_seq - 1}, not {to_seq}")
        for seq, rewound_by in self._rewound:
            if seq <= to_seq < rewound_by:
                raise RewindRefusedError(
                    f"to_seq {to_seq} lies in a tail that the rewind at seq {rewound_by} took back; "
                    f"clone the run at_seq {to_seq} instead"
                )
        return to_seq


def as_of(entry: LogEntry, seq: int, epoch: int) -> LogEntry:
    """An entry as it stood when the head was ``seq``, for a copy of the history under ``epoch``."""
    rewound_by = entry.rewound_by if entry.rewound_by is not None and entry.rewound_by <= seq else None
    return replace(entry, epoch=epoch, request_id=None, rewound_by=rewound_by)
