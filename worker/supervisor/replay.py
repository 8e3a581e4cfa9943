"""Replay: a history streamed into a run process in batches, outcomes compared as they come back.

At most ``WINDOW`` batches are under way, so the process always has work and neither side grows. A replay has
no total time limit; it must make progress within the time a single operation may take.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgpack

from protocol.errors import ErrorCode
from worker.channel import ChannelError
from worker.errors import ReplayError
from worker.runs.history import OutcomeStatus, Replayable, ReplayPlan

PAGE_ENTRIES: Final = 2000
BATCH_BYTES: Final = 1024 * 1024
WINDOW: Final = 2
MAX_FINDINGS: Final = 100
"""Divergences described one by one; a model that never repeats itself would fill reply and log with them."""
MAX_DIFFERENCE: Final = 300
"""Characters that are told of how an action called external functions otherwise than recorded."""
CAUSES: Final = "The model is not deterministic or was changed"
"""Why a replay may not repeat what was recorded; for people."""


class Replayer:
    """One replay. ``send`` puts a frame on the run's socket; ``on_replayed`` takes each answer.

    ``applied`` counts actions, ``skipped`` the entries met so far that are none or were taken back, ``diverged``
    the actions that came out differently; ``divergences`` describes the first of these.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        send: Callable[[list[Any]], None],
        *,
        strict: bool,
        patience_seconds: float,
        causes: str = CAUSES,
    ) -> None:
        self._plan = plan
        self._send = send
        self._strict = strict
        self._causes = causes
        self._patience_seconds = patience_seconds
        self._pending: deque[tuple[int, list[Replayable]]] = deque()
        self._sent = 0
        self._read = 0
        self._news = asyncio.Event()
        self._error: ReplayError | None = None
        self.applied = 0
        self.skipped = 0
        self.last_at_us = 0
        self.diverged = 0
        self.divergences: list[dict[str, Any]] = []

    async def run(self, pages: AsyncIterator[Sequence[Replayable]]) -> None:
        """Apply all pages.

        Raises:
            ReplayError: REPLAY_DIVERGED, BOOT_TIMEOUT when the process makes no progress, or PROCESS_EXITED
                after ``abandon``.
        """
        async for page in pages:
            self._read += len(page)
            if page:
                self.skipped = page[-1][0] - self._read
            for batch in _batches(page):
                await self._until(lambda: len(self._pending) < WINDOW)
                self._sent += 1
                self._pending.append((self._sent, batch))
                # Without the digests: the process must not know what is expected of it.
                self._send(["replay", self._sent, [one[:5] for one in batch]])
                self.last_at_us = batch[-1][1]
        await self._until(lambda: not self._pending)

    def on_replayed(self, number: Any, digests: Any, done: Any) -> None:
        """Judge one answer of the process.

        Raises:
            ChannelError: it is not an answer to what was sent.
        """
        if not self._pending or number != self._pending[0][0] or not isinstance(digests, list):
            raise ChannelError("replayed what was not asked")
        batch = self._pending[0][1]
        if len(digests) > len(batch) or (done is True and len(digests) < len(batch)):
            raise ChannelError("replayed another number of actions than asked")
        if done is not True and not digests:
            raise ChannelError("replayed nothing")  # or a process could feign progress for ever
        judged = batch[: len(digests)]
        if [one[5] for one in judged] != digests:
            for entry, digest in zip(judged, digests, strict=True):
                if digest != entry[5] and entry[0] > self._plan.compare_after_seq:
                    self._diverged(entry, digest)
        del batch[: len(digests)]
        self.applied += len(digests)
        if done is True:
            self._pending.popleft()
        self._news.set()

    def abandon(self) -> None:
        """The process is gone: end ``run`` now, which otherwise would wait as long as it has patience."""
        if self._error is None:
            message = "the run process ended during the replay"
            self._error = ReplayError(ErrorCode.PROCESS_EXITED, message, applied="no")
        self._news.set()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while self._error is None and not reached():
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), self._patience_seconds)
            except TimeoutError:
                raise ReplayError(
                    ErrorCode.BOOT_TIMEOUT,
                    f"the replay made no progress for {self._patience_seconds:g} s after {self.applied} actions",
                    replayed=self.applied,
                    applied="no",
                ) from None
        if self._error is not None:
            raise self._error

    def _diverged(self, entry: Replayable, digest: Any) -> None:
        seq, _at_us, _actor, packed, _answers, expected, status = entry
        action = msgpack.unpackb(packed, raw=False)
        called_otherwise = digest[:MAX_DIFFERENCE] if isinstance(digest, str) else None
        got = called_otherwise or (digest.hex() if isinstance(digest, bytes) else "nothing")
        finding = {
            "seq": seq,
            "action": action.get("name"),
            "kind": action.get("kind"),
            "expected": expected.hex(),
            "got": got,
        }
        self.diverged += 1
        if len(self.divergences) < MAX_FINDINGS:
            self.divergences.append(finding)
        if self._strict and self._error is None:
            recorded = "an error" if status == OutcomeStatus.ERROR else "a result"
            what = (
                f"did not repeat the outcome in the history ({recorded}, digest {expected.hex()}, now {got})"
            )
            if called_otherwise is not None:
                what = f"did not call external functions as in the history: {called_otherwise}"
            self._error = ReplayError(
                ErrorCode.REPLAY_DIVERGED,
                f"seq {seq}: {action.get('kind')} {action.get('name')!r} {what}. {self._causes}; the history is intact",
                **finding,
                applied="no",
            )


def _batches(entries: Sequence[Replayable]) -> list[list[Replayable]]:
    batches: list[list[Replayable]] = []
    size = BATCH_BYTES
    for entry in entries:
        if size >= BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(entry)
        size += len(entry[3]) + len(entry[4] or b"")
    return batches
