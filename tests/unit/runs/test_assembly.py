"""Assemblies: what is refused, what is done in which order, what filters leave of a history."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.channel import pack
from worker.runs.assembly import (
    REPLAY,
    Assembly,
    Cut,
    FilterKind,
    FilterTarget,
    ReplayFilter,
    ReplayPart,
    SnapshotPart,
    assembly_of,
    assembly_problems,
    cut_by,
    filters_of,
    left_by,
    plan_assembly,
    wanted,
)
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus

STEP = {"operationType": "stop_before", "targetType": "execute", "targetKey": "step"}
EXCLUDE, STOP, ANY = FilterKind.EXCLUDE, FilterKind.STOP_BEFORE, FilterTarget.ANY


def entry(seq: int, kind: EntryKind, name: str, rewound_by: int | None = None) -> LogEntry:
    action = pack({"kind": kind.value, "name": name})
    done = OutcomeStatus.COMPLETED
    return LogEntry(seq, 1, kind, seq, action, None, done, b"", bytes(16), rewound_by=rewound_by)


def story(*words: str) -> list[LogEntry]:
    """A boot, then an execution per word; ``x=`` is a set of ``x``."""
    later = (
        entry(seq, EntryKind.SET if word.endswith("=") else EntryKind.EXECUTE, word.rstrip("="))
        for seq, word in enumerate(words, 2)
    )
    return [entry(1, EntryKind.BOOT, "step"), *later]


def names(entries: list[LogEntry]) -> list[tuple[int, bytes]]:
    return [(one.seq, one.action) for one in entries]


def test_parts_are_read_in_their_order_and_words_in_any_case() -> None:
    loud = {"operationType": "EXCLUDE", "targetType": "Any", "targetKey": "x"}
    parts: list[tuple[str, Any]] = [
        ("replay", {"operations": [STEP, loud]}),
        ("snapshot", {"variables": ["b", "a"]}),
    ]
    assert list(assembly_problems(parts)) == []
    filters = (ReplayFilter(STOP, FilterTarget.EXECUTE, "step"), ReplayFilter(EXCLUDE, ANY, "x"))
    assembly = assembly_of(parts)
    assert assembly == (ReplayPart(filters), SnapshotPart(("b", "a")))
    assert filters_of(assembly) == filters


def test_without_parts_there_is_a_replay() -> None:
    assert assembly_of([]) == REPLAY


@pytest.mark.parametrize(
    ("parts", "path", "words"),
    (
        ([], "", "empty assembly"),
        ([("dream", {})], "[0]", "'dream' is not a known restoration"),
        ([("replay", {}), ("snapshot", {}), ("replay", {})], "[2]", "nothing to apply"),
        ([("snapshot", {"variables": []})], "[0].snapshot.variables", "1 to"),
        ([("snapshot", {"variables": {"a": 1}})], "[0].snapshot.variables", "1 to"),
        ([("snapshot", {"variables": ["a", ""]})], "[0].snapshot.variables", "each must be"),
        ([("replay", {"operations": {}})], "[0].replay.operations", "a list"),
        (
            [("snapshot", {}), ("replay", {"operations": [STEP]})],
            "[1].replay.operations",
            "put the replay first",
        ),
        (
            [("replay", {"operations": [STEP, {**STEP, "count": 2}]})],
            "[0].replay.operations[1]",
            "a filter has exactly",
        ),
        ([("replay", {"operations": ["step"]})], "[0].replay.operations[0]", "a filter has exactly"),
        (
            [("replay", {"operations": [{**STEP, "operationType": "skip"}]})],
            "[0].replay.operations[0]",
            "one of stop_before, exclude, not 'skip'",
        ),
        (
            [("replay", {"operations": [{**STEP, "targetType": 1}]})],
            "[0].replay.operations[0]",
            "one of execute, set, get, any, not 1",
        ),
        ([("replay", {"operations": [{**STEP, "targetKey": ""}]})], "[0].replay.operations[0]", "targetKey"),
    ),
)
def test_what_cannot_be_put_together_is_refused(parts: Any, path: str, words: str) -> None:
    found = list(assembly_problems(parts))
    assert [one[0] for one in found] == [path]
    assert words in found[0][1]


SNAPSHOT = SnapshotPart()
REPLAYS = ReplayPart()


@pytest.mark.parametrize(
    ("assembly", "planned"),
    (
        ((REPLAYS,), (REPLAYS,)),
        ((SNAPSHOT,), (SNAPSHOT,)),
        ((SNAPSHOT, REPLAYS), (SNAPSHOT,)),
        ((REPLAYS, SNAPSHOT), (REPLAYS, SNAPSHOT)),
        ((SNAPSHOT, REPLAYS, SnapshotPart(("a",))), (SNAPSHOT, SnapshotPart(("a",)))),
    ),
)
def test_a_replay_behind_a_snapshot_has_nothing_left(assembly: Assembly, planned: Assembly) -> None:
    assert plan_assembly(assembly, at_head=True) == planned
    assert plan_assembly(assembly, at_head=False) == REPLAY


def test_a_snapshot_of_all_goes_by_name_and_a_listed_one_in_its_order() -> None:
    archive = {"b": b"1", "state.gold": b"2", "state": b"3"}
    assert list(wanted(SNAPSHOT, archive)[0]) == ["b", "state", "state.gold"]
    found, missing = wanted(SnapshotPart(("state.gold", "c", "b")), archive)
    assert (list(found.items()), missing) == ([("state.gold", b"2"), ("b", b"1")], ["c"])


@pytest.mark.parametrize(
    ("filters", "left", "excluded"),
    (
        ([], ["go", "x=", "step", "x", "step"], False),
        ([ReplayFilter(STOP, ANY, "step")], ["go", "x="], False),
        ([ReplayFilter(STOP, ANY, "nothing")], ["go", "x=", "step", "x", "step"], False),
        ([ReplayFilter(STOP, FilterTarget.SET, "x")], ["go"], False),
        ([ReplayFilter(STOP, FilterTarget.GET, "x")], ["go", "x=", "step", "x", "step"], False),
        ([ReplayFilter(EXCLUDE, FilterTarget.EXECUTE, "x")], ["go", "x=", "step", "step"], True),
        ([ReplayFilter(EXCLUDE, ANY, "x")], ["go", "step", "step"], True),
        ([ReplayFilter(STOP, ANY, "x"), ReplayFilter(EXCLUDE, ANY, "x")], ["go"], False),
        ([ReplayFilter(EXCLUDE, ANY, "step"), ReplayFilter(STOP, ANY, "step")], ["go", "x="], False),
    ),
)
def test_filters_leave_a_history_that_counts_from_one(
    filters: list[ReplayFilter], left: list[str], excluded: bool
) -> None:
    entries = story("go", "x=", "step", "x", "step")
    assert (names(left_by(entries, filters)[0]), left_by(entries, filters)[1]) == (
        names(story(*left)),
        excluded,
    )


def test_an_exclusion_drops_tails_that_were_taken_back_and_a_stop_keeps_them() -> None:
    taken = entry(3, EntryKind.EXECUTE, "step", rewound_by=4)
    rewind = entry(4, EntryKind.REWIND, "")
    entries = [*story("go"), taken, rewind, *(entry(seq, EntryKind.EXECUTE, "go") for seq in (5, 6))]
    assert left_by(entries, [ReplayFilter(EXCLUDE, ANY, "step")]) == (entries, False)
    assert left_by(entries, [ReplayFilter(STOP, ANY, "step")]) == (entries, False)
    kept, excluded = left_by(entries, [ReplayFilter(EXCLUDE, ANY, "go")])
    assert (names(kept), excluded) == (names(story()), False)
    kept, excluded = left_by(
        [*entries, entry(7, EntryKind.EXECUTE, "end")], [ReplayFilter(EXCLUDE, ANY, "go")]
    )
    assert (names(kept), excluded) == (names(story("end")), True)


@pytest.mark.parametrize(
    ("filters", "to_seq", "kept"),
    (
        ([ReplayFilter(STOP, ANY, "step")], 3, []),
        ([ReplayFilter(EXCLUDE, ANY, "step")], 3, [5]),
        ([ReplayFilter(EXCLUDE, FilterTarget.SET, "x")], 2, [4, 5, 6]),
        ([ReplayFilter(EXCLUDE, ANY, "go"), ReplayFilter(STOP, FilterTarget.EXECUTE, "x")], 1, [3, 4]),
    ),
)
def test_a_cut_begins_with_the_first_action_left_out(
    filters: list[ReplayFilter], to_seq: int, kept: list[int]
) -> None:
    entries = story("go", "x=", "step", "x", "step")
    assert cut_by(entries, filters) == Cut(to_seq, tuple(entries[seq - 1] for seq in kept))
    assert cut_by(story("a"), filters) is None


@given(
    st.lists(st.sampled_from(("a", "b", "c", "a=", "b=")), max_size=12),
    st.lists(
        st.builds(
            ReplayFilter, st.sampled_from(FilterKind), st.sampled_from(FilterTarget), st.sampled_from("abc")
        ),
        max_size=3,
    ),
)
def test_nothing_that_a_filter_fits_is_left(words: list[str], filters: list[ReplayFilter]) -> None:
    left, _ = left_by(story(*words), filters)
    assert [one.seq for one in left] == list(range(1, len(left) + 1))
    assert not [one for one in left[1:] for each in filters if each.fits(one)]
