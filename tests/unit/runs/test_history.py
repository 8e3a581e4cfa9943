"""Histories: what a replay applies, how far a rewind goes back, what a copy keeps."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from worker.runs.history import (
    EntryKind,
    LogEntry,
    OutcomeStatus,
    RewindFinder,
    RewindRefusedError,
    as_of,
    effective,
)

KINDS = {"boot": EntryKind.BOOT, "set": EntryKind.SET, "rewind": EntryKind.REWIND}


def history(*names: str, rewinds: dict[int, tuple[int, int]] | None = None) -> list[LogEntry]:
    """Entries from names: boot, set, rewind, or the name of an operation; a ``!`` behind it says it raised.

    ``rewinds``: by the seq of a rewind entry, the first and last seq that it took back.
    """
    entries = [
        LogEntry(
            seq=seq,
            epoch=1,
            kind=KINDS.get(name.removesuffix("!"), EntryKind.EXECUTE),
            at_us=seq,
            action=name.removesuffix("!").encode(),
            actor=None,
            status=OutcomeStatus.ERROR if name.endswith("!") else OutcomeStatus.COMPLETED,
            outcome=b"",
            digest=b"",
            request_id=f"request {seq}",
        )
        for seq, name in enumerate(names, 1)
    ]
    for marker, (first, last) in (rewinds or {}).items():
        for index in range(first - 1, last):
            if entries[index].rewound_by is None:
                entries[index] = replace(entries[index], rewound_by=marker)
    return entries


def finder(entries: Sequence[LogEntry], *, page: int = 1000) -> RewindFinder:
    """A finder for steps called "step" that read the history page by page."""
    found = RewindFinder(lambda entry: entry.action == b"step")
    for start in range(0, len(entries), page):
        found.feed(entries[start : start + page])
    return found


def seqs(entries: Sequence[LogEntry]) -> list[int]:
    return [entry.seq for entry in entries]


def test_a_replay_applies_executions_and_sets_in_order() -> None:
    assert seqs(effective(history("boot", "set", "step", "other", "step!"))) == [2, 3, 4, 5]


def test_a_replay_leaves_out_what_was_taken_back_and_the_rewinds_themselves() -> None:
    entries = history("boot", "set", "step", "set", "rewind", "step", rewinds={5: (3, 4)})
    assert seqs(effective(entries)) == [2, 6]


@pytest.mark.parametrize("page", (1, 2, 1000))
@pytest.mark.parametrize(("count", "to_seq"), ((1, 4), (2, 2)))
def test_one_step_back_keeps_all_before_the_last_marked_call(count: int, to_seq: int, page: int) -> None:
    # The reference's example: set a, step, set b, step, set c.
    entries = history("boot", "set", "step", "set", "step", "set")
    assert finder(entries, page=page).by_count(count) == to_seq


def test_a_run_can_go_back_to_its_beginning() -> None:
    assert finder(history("boot", "step", "set")).by_count(1) == 1


def test_a_call_that_raised_is_no_step() -> None:
    assert finder(history("boot", "step", "set", "step!", "set")).by_count(1) == 1


def test_a_request_is_split_only_where_a_step_stands_inside_it() -> None:
    entries = history("boot", "set", "set", "step", "set", "set")
    batched = [replace(entry, request_id="one", batch=entry.seq - 2) for entry in entries]
    assert finder(batched).by_count(1) == 3


@pytest.mark.parametrize("count", (-1, 0, 3))
def test_more_steps_than_there_are_is_refused_with_their_number(count: int) -> None:
    entries = history("boot", "step", "other", "step")
    with pytest.raises(RewindRefusedError, match=rf"1 to 2 .* not {count}"):
        finder(entries).by_count(count)


def test_without_a_step_every_count_is_refused() -> None:
    with pytest.raises(RewindRefusedError, match="1 to 0"):
        finder(history("boot", "set")).by_count(1)


def test_steps_that_were_taken_back_do_not_count_again() -> None:
    entries = history("boot", "step", "step", "step", "rewind", "set", rewinds={5: (3, 4)})
    assert finder(entries).by_count(1) == 1
    with pytest.raises(RewindRefusedError, match="1 to 1"):
        finder(entries).by_count(2)


def test_a_step_after_a_rewind_goes_back_to_the_rewind() -> None:
    entries = history("boot", "step", "step", "rewind", "step", rewinds={4: (3, 3)})
    assert finder(entries).by_count(1) == 4
    assert finder(entries).by_count(2) == 1


def test_a_seq_within_the_history_is_taken() -> None:
    entries = history("boot", "set", "step")
    assert [finder(entries).by_seq(seq, 3) for seq in (1, 2)] == [1, 2]


@pytest.mark.parametrize("to_seq", (-1, 0, 3, 4))
def test_a_seq_outside_the_history_is_refused_with_its_bounds(to_seq: int) -> None:
    with pytest.raises(RewindRefusedError, match=rf"to_seq must be 1 to 2, not {to_seq}"):
        finder(history("boot", "set", "step")).by_seq(to_seq, 3)


def test_a_seq_in_a_tail_that_was_taken_back_is_refused_naming_the_rewind() -> None:
    entries = history("boot", "set", "set", "set", "rewind", "set", rewinds={5: (3, 4)})
    for to_seq in (3, 4):
        with pytest.raises(RewindRefusedError, match=r"the rewind at seq 5 .* clone the run at_seq"):
            finder(entries).by_seq(to_seq, 6)
    assert [finder(entries).by_seq(seq, 6) for seq in (1, 2, 5)] == [1, 2, 5]


def test_a_rewind_that_was_taken_back_itself_is_no_place_to_go_to() -> None:
    # 4 took back 3; then 6 took back 2 to 5.
    entries = history("boot", "set", "set", "rewind", "set", "rewind", "set", rewinds={4: (3, 3), 6: (2, 5)})
    for to_seq in (2, 3, 4, 5):
        with pytest.raises(RewindRefusedError):
            finder(entries).by_seq(to_seq, 7)
    assert [finder(entries).by_seq(seq, 7) for seq in (1, 6)] == [1, 6]


@pytest.mark.parametrize(("seq", "applied"), ((1, []), (2, [2]), (3, [2, 3]), (4, [2]), (5, [2, 5])))
def test_a_copy_as_of_a_seq_applies_what_the_run_had_applied_then(seq: int, applied: list[int]) -> None:
    entries = history("boot", "set", "step", "rewind", "set", rewinds={4: (3, 3)})
    copy = [as_of(entry, seq, 7) for entry in entries if entry.seq <= seq]
    assert seqs(effective(copy)) == applied


def test_a_copy_answers_no_request_of_the_original() -> None:
    (copy,) = (as_of(entry, 1, 7) for entry in history("boot"))
    assert (copy.epoch, copy.request_id, copy.action) == (7, None, b"boot")
