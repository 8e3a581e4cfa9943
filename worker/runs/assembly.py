"""How the state of a run is put together: the parts of ``restorations.assembly``, in their order.

A ``replay`` applies the recorded actions. A ``snapshot`` assigns what the archive has, which is always as of the
head of the history. So a replay behind a snapshot has nothing left to apply, and a snapshot has nothing to give
where an earlier moment is asked for (a rewind, a clone at an earlier seq or with replay filters): these replay.

Replay filters take recorded actions back for good: ``stop_before`` all from the first action that fits it,
``exclude`` those that fit it. A filter fits recorded actions only; gets are not recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from worker.channel import unpack
from worker.runs.history import LogEntry, effective

MAX_NAMES: Final = 10_000
_FILTER_KEYS: Final = frozenset({"operationType", "targetType", "targetKey"})


class FilterKind(StrEnum):
    """What a filter leaves out."""

    STOP_BEFORE = "stop_before"
    EXCLUDE = "exclude"


class FilterTarget(StrEnum):
    """Which kind of action a filter looks at."""

    EXECUTE = "execute"
    SET = "set"
    GET = "get"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """One filter; ``key`` is the name of an operation or the reference of a variable, as it was asked."""

    kind: FilterKind
    target: FilterTarget
    key: str

    def fits(self, entry: LogEntry) -> bool:
        """Whether an entry records such an action."""
        if self.target not in (FilterTarget.ANY, entry.kind.value):
            return False
        return bool(unpack(entry.action).get("name") == self.key)


@dataclass(frozen=True, slots=True)
class ReplayPart:
    """Apply the recorded actions, but for what the filters leave out."""

    filters: tuple[ReplayFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """Assign archived values: those of ``variables`` in their order, or all by name where it is None."""

    variables: tuple[str, ...] | None = None


Part = ReplayPart | SnapshotPart
Assembly = tuple[Part, ...]
REPLAY: Final[Assembly] = (ReplayPart(),)


def assembly_problems(parts: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterable[tuple[str, str]]:
    """What is wrong with an assembly of (kind, options), as (path inside it, reason)."""
    if not parts:
        yield "", 'an empty assembly would restore nothing; write [{"replay": {}}], or leave it out'
    kinds = [kind for kind, _ in parts]
    for index, (kind, options) in enumerate(parts):
        if kind == "snapshot":
            yield from _snapshot_problems(f"[{index}].snapshot", options)
        elif kind != "replay":
            yield (
                f"[{index}]",
                f"{kind or dict(options)!r:.80} is not a known restoration; known: replay, snapshot",
            )
        else:
            if "replay" in kinds[:index]:
                yield f"[{index}]", "there is a replay before it, which leaves it nothing to apply; remove it"
            yield from _replay_problems(f"[{index}].replay", options, behind="snapshot" in kinds[:index])


def _snapshot_problems(path: str, options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    names = options.get("variables")
    if names is None:
        return
    if not isinstance(names, list) or not 0 < len(names) <= MAX_NAMES:
        yield f"{path}.variables", f"a list of 1 to {MAX_NAMES} names is needed; leave it out for all"
    elif not all(isinstance(name, str) and name for name in names):
        yield f"{path}.variables", "each must be the name of a recorded variable"


def _replay_problems(path: str, options: Mapping[str, Any], *, behind: bool) -> Iterable[tuple[str, str]]:
    filters = options.get("operations")
    if not filters and filters in (None, []):
        return
    path = f"{path}.operations"
    if not isinstance(filters, list):
        yield path, "a list of replay filters is needed"
        return
    if behind:
        yield path, "a replay behind a snapshot has nothing left to filter; put the replay first"
    for index, raw in enumerate(filters):
        if (reason := _filter_problem(raw)) is not None:
            yield f"{path}[{index}]", reason


def _filter_problem(raw: Any) -> str | None:
    if not isinstance(raw, Mapping) or set(raw) != _FILTER_KEYS:
        return f"a filter has exactly {', '.join(sorted(_FILTER_KEYS))}"
    for key, words in (("operationType", FilterKind), ("targetType", FilterTarget)):
        if not isinstance(raw[key], str) or raw[key].lower() not in tuple(words):
            return f"{key} must be one of {', '.join(words)}, not {raw[key]!r:.40}"
    key = raw["targetKey"]
    return None if isinstance(key, str) and key else "targetKey must be the name of an operation or variable"


def assembly_of(parts: Iterable[tuple[str, Mapping[str, Any]]]) -> Assembly:
    """The parts of an assembly without problems; a single replay where there are none."""
    return tuple(_part(kind, options) for kind, options in parts) or REPLAY


def _part(kind: str, options: Mapping[str, Any]) -> Part:
    if kind == "snapshot":
        names = options.get("variables")
        return SnapshotPart(None if names is None else tuple(names))
    return ReplayPart(
        tuple(
            ReplayFilter(
                FilterKind(raw["operationType"].lower()),
                FilterTarget(raw["targetType"].lower()),
                raw["targetKey"],
            )
            for raw in options.get("operations") or ()
        )
    )


def filters_of(assembly: Assembly) -> tuple[ReplayFilter, ...]:
    """The replay filters of an assembly."""
    return tuple(one for part in assembly if isinstance(part, ReplayPart) for one in part.filters)


def plan_assembly(assembly: Assembly, *, at_head: bool) -> Assembly:
    """What to do, in order; without ``at_head`` the moment asked for is not the one that the archive is of."""
    if not at_head:
        return REPLAY
    planned: list[Part] = []
    for part in assembly:
        behind = any(isinstance(earlier, SnapshotPart) for earlier in planned)
        if isinstance(part, SnapshotPart) or not behind:
            planned.append(part)
    return tuple(planned)


def wanted(part: SnapshotPart, archive: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """What a snapshot assigns of an archive, in order, and the names it asks for that were never recorded.

    By name a variable comes before what is recorded inside it (``state`` before ``state.gold``).
    """
    names = sorted(archive) if part.variables is None else part.variables
    found = {name: archive[name] for name in names if name in archive}
    return found, [name for name in names if name not in archive]


@dataclass(frozen=True, slots=True)
class Cut:
    """What filters take back of a history: all after ``to_seq``, but for the actions ``kept`` (as they stand there)."""

    to_seq: int
    kept: tuple[LogEntry, ...]


def cut_by(entries: Sequence[LogEntry], filters: Sequence[ReplayFilter]) -> Cut | None:
    """What filters take back of a whole history; None where they leave out nothing."""
    applied = effective(entries)
    kept: list[LogEntry] = []
    for entry in applied:
        fitting = [one.kind for one in filters if one.fits(entry)]
        if FilterKind.STOP_BEFORE in fitting:
            break
        if not fitting:
            kept.append(entry)
    if len(kept) == len(applied):
        return None
    same = next((n for n, entry in enumerate(kept) if entry is not applied[n]), len(kept))
    return Cut(applied[same].seq - 1, tuple(kept[same:]))


def left_by(entries: Sequence[LogEntry], filters: Sequence[ReplayFilter]) -> tuple[list[LogEntry], bool]:
    """The history that filters leave of another, and whether actions were excluded from within it.

    What is cut off keeps its numbers, and its tails that were taken back. Where something was left out before
    others, the rest is the boot entry and the effective actions, numbered anew; their outcomes are those of the
    history they come from.
    """
    cut = cut_by(entries, filters)
    if cut is None:
        return list(entries), False
    before = [entry for entry in entries if entry.seq <= cut.to_seq]
    if not cut.kept:
        return before, False
    effective_ones = [before[0], *effective(before), *cut.kept]
    return [replace(entry, seq=seq) for seq, entry in enumerate(effective_ones, 1)], True
