"""Replays: how many run at once, how far they run ahead, what ends them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgpack
import pytest

from protocol.errors import ErrorCode
from worker.channel import ChannelError
from worker.errors import ReplayError
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus, Replayable, ReplayPlan, replayable
from worker.supervisor.replay import BATCH_BYTES, MAX_FINDINGS, WINDOW, Replayer
from worker.supervisor.slots import Slots

WITHIN_SECONDS = 20.0


def play(scenario: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            await scenario

    asyncio.run(main())


async def turns(count: int = 10) -> None:
    """Let all that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


# Slots


class Holders:
    """Tasks that want a slot; ``order`` tells who got one, in order."""

    def __init__(self, limit: int) -> None:
        self.slots = Slots(limit)
        self.order: list[str] = []
        self.holding: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def want(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._hold(name))
            await turns()

    async def _hold(self, name: str) -> None:
        async with self.slots.slot():
            self.order.append(name)
            done = self.holding[name] = asyncio.Event()
            try:
                await done.wait()
            finally:
                del self.holding[name]

    async def leave(self, name: str) -> None:
        self.holding[name].set()
        await self.tasks[name]
        await turns()


def test_no_more_than_the_limit_run_at_once() -> None:
    async def scenario() -> None:
        holders = Holders(2)
        await holders.want("a", "b", "c", "d")
        assert set(holders.holding) == {"a", "b"}
        assert holders.slots.waiting == 2
        await holders.leave("a")
        assert len(holders.holding) == 2
        assert holders.slots.waiting == 1
        await holders.leave("b")
        await holders.leave("d")
        await holders.leave("c")
        await holders.want("e", "f", "g")
        assert set(holders.holding) == {"e", "f"}
        await holders.leave("e")
        await holders.leave("f")
        await holders.leave("g")

    play(scenario())


def test_of_those_that_wait_the_one_that_came_last_goes_first() -> None:
    async def scenario() -> None:
        holders = Holders(1)
        await holders.want("a", "b", "c", "d")
        for name in ("a", "d", "c", "b"):
            await holders.leave(name)
        assert holders.order == ["a", "d", "c", "b"]

    play(scenario())


def test_where_the_oldest_goes_first_those_that_wait_keep_their_order() -> None:
    async def scenario() -> None:
        holders = Holders(1)
        holders.slots = Slots(1, oldest_first=True)
        await holders.want("a", "b", "c", "d")
        assert (holders.slots.used, holders.slots.waiting) == (1, 3)
        for name in ("a", "b", "c", "d"):
            await holders.leave(name)
        assert holders.order == ["a", "b", "c", "d"]
        assert (holders.slots.used, holders.slots.waiting) == (0, 0)

    play(scenario())


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_one_that_is_cancelled_while_it_waits_waits_no_longer() -> None:
    async def scenario() -> None:
        holders = Holders(1)
        await holders.want("a", "b", "c")
        await cancelled(holders.tasks["c"])
        assert holders.slots.waiting == 1
        await holders.leave("a")
        assert set(holders.holding) == {"b"}
        await holders.leave("b")

    play(scenario())


def test_one_that_is_cancelled_while_it_runs_frees_its_slot() -> None:
    async def scenario() -> None:
        holders = Holders(1)
        await holders.want("a", "b")
        await cancelled(holders.tasks["a"])
        await turns()
        assert set(holders.holding) == {"b"}
        await holders.leave("b")

    play(scenario())


@pytest.mark.parametrize("cancelled_first", (False, True))
def test_a_slot_given_in_the_moment_of_a_cancellation_is_neither_lost_nor_doubled(
    cancelled_first: bool,
) -> None:
    async def scenario() -> None:
        holders = Holders(1)
        await holders.want("a", "b")
        # Both within one turn of the loop, so that "b" hears of them at once.
        if cancelled_first:
            holders.tasks["b"].cancel()
            holders.holding["a"].set()
        else:
            holders.holding["a"].set()
            await asyncio.sleep(0)
            holders.tasks["b"].cancel()
        await asyncio.gather(*holders.tasks.values(), return_exceptions=True)
        await turns()
        assert holders.slots.waiting == 0
        await holders.want("c", "d")
        assert set(holders.holding) == {"c"}
        await holders.leave("c")
        await holders.leave("d")

    play(scenario())


def test_a_holder_that_frees_its_slot_before_a_cancelled_one_ran_doubles_nothing() -> None:
    async def scenario() -> None:
        slots = Slots(1)
        first = slots.slot()
        await first.__aenter__()
        holders = Holders(1)
        holders.slots = slots
        await holders.want("b")
        holders.tasks["b"].cancel()
        await first.__aexit__(None, None, None)  # "b" has not run since
        await asyncio.gather(holders.tasks["b"], return_exceptions=True)
        await holders.want("c", "d")
        assert set(holders.holding) == {"c"}
        await holders.leave("c")
        await holders.leave("d")

    play(scenario())


# Replays


def digest_of(seq: int) -> bytes:
    return seq.to_bytes(16, "big")


def entry(seq: int, *, size: int = 0, kind: EntryKind = EntryKind.EXECUTE, **fields: Any) -> LogEntry:
    body = {"kind": "execute", "name": f"step{seq}", "arguments": ["x" * size]}
    given: dict[str, Any] = {
        "seq": seq,
        "epoch": 1,
        "kind": kind,
        "at_us": 1000 + seq,
        "action": msgpack.packb(body),
        "actor": None,
        "status": OutcomeStatus.COMPLETED,
        "outcome": b"\xc0",
        "digest": digest_of(seq),
    }
    return LogEntry(**(given | fields))


async def pages(*given: Sequence[LogEntry]) -> AsyncIterator[Sequence[Replayable]]:
    for page in given:
        yield replayable(page)


class Peer:
    """The run process's part: keeps the frames it was sent; a test answers them, or ``answering`` does."""

    def __init__(
        self, *, strict: bool = True, patience_seconds: float = WITHIN_SECONDS, compare_after_seq: int = 0
    ) -> None:
        self.frames: list[list[Any]] = []
        self.answering: Callable[[list[Any]], None] = lambda frame: None
        self.replayer = Replayer(
            ReplayPlan(compare_after_seq=compare_after_seq),
            self._send,
            strict=strict,
            patience_seconds=patience_seconds,
        )

    def _send(self, frame: list[Any]) -> None:
        self.frames.append(frame)
        asyncio.get_running_loop().call_soon(self.answering, frame)

    def repeat(self, frame: list[Any]) -> None:
        """Answer that everything came out as recorded."""
        self.replayer.on_replayed(frame[1], [digest_of(seq) for seq, *_ in frame[2]], True)

    def sent_seqs(self) -> list[list[int]]:
        return [[seq for seq, *_ in frame[2]] for frame in self.frames]


def test_a_history_is_applied_whole_and_in_order() -> None:
    async def scenario() -> None:
        peer = Peer()
        peer.answering = peer.repeat
        first = [
            entry(1, kind=EntryKind.BOOT),
            entry(2, actor=b"actor"),
            entry(3, rewound_by=4),
            entry(4, kind=EntryKind.REWIND),
        ]
        await peer.replayer.run(pages(first, [], [entry(5)]))
        assert peer.sent_seqs() == [[2], [5]]
        assert peer.frames[0] == ["replay", 1, [(2, 1002, b"actor", entry(2).action, None)]]
        assert (peer.replayer.applied, peer.replayer.last_at_us) == (2, 1005)
        assert (peer.replayer.diverged, peer.replayer.divergences) == (0, [])

    play(scenario())


def test_a_history_without_actions_asks_nothing() -> None:
    async def scenario() -> None:
        peer = Peer()
        await peer.replayer.run(pages([entry(1, kind=EntryKind.BOOT)]))
        assert (peer.frames, peer.replayer.applied, peer.replayer.last_at_us) == ([], 0, 0)

    play(scenario())


def test_only_a_window_of_batches_is_under_way() -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(
            peer.replayer.run(pages(*([entry(seq), entry(seq + 1)] for seq in range(2, 12, 2))))
        )
        for answered in range(5):
            await turns()
            assert len(peer.frames) == min(answered + WINDOW, 5)
            assert not task.done()
            peer.repeat(peer.frames[answered])
        await task
        assert peer.replayer.applied == 10

    play(scenario())


def test_batches_are_cut_by_bytes() -> None:
    async def scenario() -> None:
        peer = Peer()
        peer.answering = peer.repeat
        await peer.replayer.run(pages([entry(seq, size=BATCH_BYTES // 2) for seq in range(2, 8)]))
        assert peer.sent_seqs() == [[2, 3], [4, 5], [6, 7]]

    play(scenario())


def test_one_batch_may_be_answered_in_several_frames() -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(peer.replayer.run(pages([entry(seq) for seq in range(2, 6)])))
        await turns()
        peer.replayer.on_replayed(1, [digest_of(2)], False)
        assert peer.replayer.applied == 1
        # The last action may be reported before the batch is said to be done.
        peer.replayer.on_replayed(1, [digest_of(3), digest_of(4), digest_of(5)], False)
        await turns()
        assert not task.done()
        peer.replayer.on_replayed(1, [], True)
        await task
        assert peer.replayer.applied == 4

    play(scenario())


@pytest.mark.parametrize(
    ("number", "digests", "done"),
    (
        (2, [digest_of(2), digest_of(3)], True),
        (0, [digest_of(2), digest_of(3)], True),
        ("1", [digest_of(2), digest_of(3)], True),
        (None, [], False),
        (1, None, True),
        (1, {"a": 1}, True),
        (1, b"ab", True),
        (1, [digest_of(2)], True),
        (1, [], True),
        (1, [], False),
        (1, [digest_of(2), digest_of(3), digest_of(4)], True),
        (1, [digest_of(2), digest_of(3), digest_of(4)], False),
    ),
)
def test_an_answer_to_what_was_not_asked_is_refused(number: Any, digests: Any, done: Any) -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(peer.replayer.run(pages([entry(2), entry(3)])))
        await turns()
        with pytest.raises(ChannelError):
            peer.replayer.on_replayed(number, digests, done)
        assert peer.replayer.applied == 0
        peer.repeat(peer.frames[0])
        await task

    play(scenario())


@pytest.mark.parametrize("done", ("yes", 1, [0], None))
def test_only_true_says_that_a_batch_is_done(done: Any) -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(peer.replayer.run(pages([entry(2), entry(3)])))
        await turns()
        peer.replayer.on_replayed(1, [digest_of(2)], done)
        await turns()
        assert not task.done()
        peer.replayer.on_replayed(1, [digest_of(3)], True)
        await task

    play(scenario())


def test_an_answer_before_anything_was_asked_is_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(ChannelError, match="not asked"):
            Peer().replayer.on_replayed(1, [], True)

    play(scenario())


@pytest.mark.parametrize("got", (digest_of(99), None, 5, "text", []))
def test_a_strict_replay_ends_with_the_first_divergence(got: Any) -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(
            peer.replayer.run(pages([entry(2), entry(3), entry(4)], [entry(5)], [entry(6)]))
        )
        await turns()
        peer.replayer.on_replayed(1, [digest_of(2), got, digest_of(99)], True)
        with pytest.raises(ReplayError) as raised:
            await task
        error = raised.value
        assert error.code is ErrorCode.REPLAY_DIVERGED
        shown = got if isinstance(got, str) else got.hex() if isinstance(got, bytes) else "nothing"
        assert error.information == {
            "seq": 3,
            "action": "step3",
            "kind": "execute",
            "expected": digest_of(3).hex(),
            "got": shown,
            "applied": "no",
        }
        what = "call external functions as in the history: text" if got == "text" else "repeat"
        assert f"seq 3: execute 'step3' did not {what}" in error.message
        assert [finding["seq"] for finding in peer.replayer.divergences] == [3, 4]
        assert len(peer.frames) == WINDOW  # nothing more is sent

    play(scenario())


def test_the_message_tells_whether_an_error_or_a_result_was_recorded() -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(peer.replayer.run(pages([entry(2, status=OutcomeStatus.ERROR)])))
        await turns()
        peer.replayer.on_replayed(1, [b""], True)
        with pytest.raises(ReplayError, match=r"\(an error, digest"):
            await task

    play(scenario())


def test_a_lenient_replay_goes_on_and_tells_what_diverged() -> None:
    async def scenario() -> None:
        peer = Peer(strict=False)

        def differ(frame: list[Any]) -> None:
            answers = [digest_of(seq if seq % 2 else 0) for seq, *_ in frame[2]]
            peer.replayer.on_replayed(frame[1], answers, True)

        peer.answering = differ
        await peer.replayer.run(pages([entry(2), entry(3), entry(4)], [entry(5)]))
        assert peer.replayer.applied == 4
        assert [finding["seq"] for finding in peer.replayer.divergences] == [2, 4]
        assert peer.replayer.diverged == 2

    play(scenario())


def test_of_countless_divergences_the_first_are_described_and_all_are_counted() -> None:
    async def scenario() -> None:
        peer = Peer(strict=False)
        peer.answering = lambda frame: peer.replayer.on_replayed(frame[1], [b"?"] * len(frame[2]), True)
        await peer.replayer.run(pages([entry(seq) for seq in range(2, 1002)]))
        assert peer.replayer.diverged == 1000
        assert [finding["seq"] for finding in peer.replayer.divergences] == list(range(2, 2 + MAX_FINDINGS))

    play(scenario())


def test_what_was_recorded_under_another_execution_context_need_not_repeat() -> None:
    async def scenario() -> None:
        peer = Peer(compare_after_seq=3)
        task = asyncio.create_task(peer.replayer.run(pages([entry(2), entry(3), entry(4)])))
        await turns()
        peer.replayer.on_replayed(1, [b"other", b"other", b"other"], True)
        with pytest.raises(ReplayError) as raised:
            await task
        assert raised.value.information["seq"] == 4
        assert peer.replayer.diverged == 1

    play(scenario())


@pytest.mark.parametrize("progress", (0, 1, 2))
def test_a_replay_without_progress_is_given_up(progress: int) -> None:
    async def scenario() -> None:
        peer = Peer(patience_seconds=0.05)
        task = asyncio.create_task(peer.replayer.run(pages([entry(2), entry(3)])))
        await turns()
        if progress:
            peer.replayer.on_replayed(1, [digest_of(2), digest_of(3)][:progress], False)
        with pytest.raises(ReplayError) as raised:
            await task
        assert raised.value.code is ErrorCode.BOOT_TIMEOUT
        assert raised.value.information == {"replayed": progress, "applied": "no"}
        assert "no progress for 0.05 s" in raised.value.message

    play(scenario())


def test_a_slow_replay_that_makes_progress_is_not_given_up() -> None:
    async def scenario() -> None:
        peer = Peer(patience_seconds=1.0)
        loop = asyncio.get_running_loop()
        entries = [entry(seq) for seq in range(2, 8)]

        def slowly(frame: list[Any]) -> None:
            for index, (seq, *_) in enumerate(frame[2], 1):
                last = index == len(frame[2])
                loop.call_later(0.3 * index, peer.replayer.on_replayed, frame[1], [digest_of(seq)], last)

        peer.answering = slowly
        began = loop.time()
        await peer.replayer.run(pages(entries))
        assert loop.time() - began > 1.0
        assert peer.replayer.applied == 6

    play(scenario())


def test_a_replay_whose_process_is_gone_ends_at_once() -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(peer.replayer.run(pages([entry(2)], [entry(3)], [entry(4)])))
        await turns()
        peer.replayer.abandon()
        peer.replayer.abandon()
        with pytest.raises(ReplayError) as raised:
            await task
        assert raised.value.code is ErrorCode.PROCESS_EXITED
        assert raised.value.information == {"applied": "no"}

    play(scenario())


def test_a_divergence_found_before_the_process_went_is_the_reason() -> None:
    async def scenario() -> None:
        peer = Peer()
        task = asyncio.create_task(peer.replayer.run(pages([entry(2)])))
        await turns()
        peer.replayer.on_replayed(1, [b"other"], True)
        peer.replayer.abandon()
        with pytest.raises(ReplayError) as raised:
            await task
        assert raised.value.code is ErrorCode.REPLAY_DIVERGED

    play(scenario())


def test_a_log_that_cannot_be_read_ends_the_replay() -> None:
    async def broken() -> AsyncIterator[Sequence[Replayable]]:
        yield replayable([entry(2)])
        raise OSError("the disk is gone")

    async def scenario() -> None:
        peer = Peer()
        peer.answering = peer.repeat
        with pytest.raises(OSError, match="the disk is gone"):
            await peer.replayer.run(broken())

    play(scenario())
