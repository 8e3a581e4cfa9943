"""The supervisor's side of a snapshot: frames of a bounded size, answers judged, findings told or raised."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from worker.channel import ChannelError
from worker.errors import ReplayError
from worker.runs.assembly import SnapshotPart
from worker.supervisor.replay import BATCH_BYTES
from worker.supervisor.snapshots import Assigner

Answer = Callable[[Assigner, list[Any]], None]


def assigned(*findings: dict[str, Any]) -> Answer:
    return lambda assigner, frame: assigner.on_assigned(frame[1], list(findings))


def run(
    archive: dict[str, bytes],
    answer: Answer,
    *,
    variables: tuple[str, ...] | None = None,
    strict: bool = True,
    patience_seconds: float = 20.0,
) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    """The frames that were sent, and the warnings."""

    async def main() -> tuple[list[list[Any]], list[dict[str, Any]]]:
        sent: list[list[Any]] = []

        def send(frame: list[Any]) -> None:
            sent.append(frame)
            asyncio.get_running_loop().call_soon(answer, assigner, frame)

        part = SnapshotPart(variables)
        assigner = Assigner(part, send, strict=strict, patience_seconds=patience_seconds)
        await assigner.run(archive, 5, 7)
        return sent, assigner.warnings

    return asyncio.run(main())


def test_values_go_in_bounded_frames_and_the_last_one_begins_the_streams_anew() -> None:
    half = bytes(BATCH_BYTES // 2)
    archive = {"a": half, "b": half[:-9], "c": bytes(BATCH_BYTES * 2), "d": b"1"}
    sent, _ = run(archive, assigned())
    assert [frame[:3] for frame in sent] == [["assign", n, 5] for n in (1, 2, 3)]
    assert [[name for name, _ in frame[3]] for frame in sent] == [["a", "b"], ["c"], ["d"]]
    assert [frame[4] for frame in sent] == [None, None, 7]


def test_an_empty_archive_is_one_frame_all_the_same() -> None:
    assert run({}, assigned())[0] == [["assign", 1, 5, [], 7]]


def test_a_value_that_could_not_be_assigned_ends_it_if_strict() -> None:
    finding = {"code": "NOT_ASSIGNED", "path": "a", "type": "ValueError", "message": "no"}
    with pytest.raises(ReplayError, match=r"'a': assigning it raised ValueError: no") as caught:
        run({"a": b"1"}, assigned(finding))
    assert caught.value.information["name"] == "a"
    assert run({"a": b"1"}, assigned(finding), strict=False)[1] == [finding]


def test_an_unknown_name_ends_it_only_where_it_was_listed() -> None:
    finding = {"code": "UNKNOWN_VARIABLE", "path": "a"}
    assert run({"a": b"1"}, assigned(finding))[1] == [finding]
    with pytest.raises(ReplayError, match="no such variable"):
        run({"a": b"1"}, assigned(finding), variables=("a",))
    assert run({"a": b"1"}, assigned(finding), variables=("a",), strict=False)[1] == [finding]


def test_listed_names_that_were_never_recorded_are_told() -> None:
    sent, warnings = run({"a": b"1"}, assigned(), variables=("b", "a"))
    assert sent[0][3] == [["a", b"1"]]
    assert warnings == [{"code": "UNRECORDED_VARIABLE", "path": "b"}]


@pytest.mark.parametrize("findings", ("none", [{}], [{"code": "X"}], [{"code": 1, "path": "a"}], [3]))
def test_an_answer_that_is_none_is_refused(findings: Any) -> None:
    refused: list[ChannelError] = []

    def answer(assigner: Assigner, frame: list[Any]) -> None:
        for number, found in ((frame[1] + 1, []), (frame[1], findings)):
            try:
                assigner.on_assigned(number, found)
            except ChannelError as error:
                refused.append(error)
        assigner.on_assigned(frame[1], [])
        with pytest.raises(ChannelError):
            assigner.on_assigned(frame[1], [])

    run({"a": b"1"}, answer)
    assert len(refused) == 2


def test_the_end_of_the_process_ends_it_at_once() -> None:
    def end(assigner: Assigner, _frame: list[Any]) -> None:
        assigner.abandon()

    def answer_and_end(assigner: Assigner, frame: list[Any]) -> None:
        assigner.on_assigned(frame[1], [])
        assigner.abandon()

    archive = {"a": bytes(BATCH_BYTES), "b": b"1"}
    for answer in (end, answer_and_end):
        with pytest.raises(ReplayError) as caught:
            run(archive, answer)
        assert caught.value.code == "PROCESS_EXITED"


def test_a_process_that_says_nothing_is_given_up() -> None:
    with pytest.raises(ReplayError) as caught:
        run({"a": b"1"}, lambda _assigner, _frame: None, patience_seconds=0.01)
    assert caught.value.code == "BOOT_TIMEOUT"
