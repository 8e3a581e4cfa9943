"""Results of actions: returned whole or, where they are large, by their structure; read byte for byte from the history."""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import ErrorCode
from protocol.profiles import ReadResult
from worker.channel import LARGE_BYTES, Allowance, unpack
from worker.errors import RequestError
from worker.log.base import Store, StoredRequest
from worker.runs.digests import SUMMARY_LIMIT, Room, digested, json_text
from worker.runs.history import EntryKind, LogEntry
from worker.runs.profile import RunProfile
from worker.runs.stimuli import Cause, Work
from worker.supervisor.answers import Shown, as_it_is
from worker.supervisor.redaction import Redaction

EXECUTED: Final = (EntryKind.EXECUTE, EntryKind.SET)
MOST_READ_BYTES: Final = 8 << 20
BASE64_SHARE: Final = 2
"""A page of a result is at most half of what a message may have; base64 makes a third more of it."""


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests large results of a request, where an entry has them whole; ``seqs``: those of its outcomes, in order."""

    run_key: str
    seqs: Sequence[int | None]
    room: Room

    def __call__(self, index: int, size_bytes: int, result: Any) -> Any:
        """The result of an outcome as it is returned; ``size_bytes``: of its msgpack."""
        seq = self.seqs[index]
        if seq is None or self.room.has_surely(size_bytes):
            return result
        return digested(result, {"run_key": self.run_key, "seq": seq}, self.room)


def _room(profile: RunProfile | None, inline_bytes: int) -> Room | None:
    """What a result of a run may have to be returned whole; None: whatever it has.

    Who starts a run is answered by APIs whose messages are held to be small, whether digests are wanted or not; who
    creates one is answered as Epicenter does.
    """
    if profile is None:
        return None
    if profile.call_summarization:
        return Room(inline_bytes, SUMMARY_LIMIT)
    return None if profile.course is None else Room(inline_bytes)


def performed(work: Work, run_key: str, profile: RunProfile | None, inline_bytes: int) -> Shown:
    """How the results of work that was just done are returned; to the run itself, whole."""
    room = _room(profile, inline_bytes)
    if room is None or work.cause is Cause.INITIAL:
        return as_it_is
    seq, seqs = work.first_seq, list[int | None]()
    for step, outcome in zip(work.steps, work.outcomes, strict=False):
        is_recorded = seq > 0 and step.recorded and outcome.recorded
        if not step.is_look:
            seqs.append(seq if is_recorded else None)
        seq += is_recorded
    return Digests(run_key, seqs, room)


async def repeated(
    store: Store, stored: StoredRequest, outcomes: Sequence[tuple[str, bytes, bytes]], inline_bytes: int
) -> Shown:
    """How the results of a request that was done before are returned: as they were then."""
    least = Room(inline_bytes, SUMMARY_LIMIT)
    if all(least.has_surely(len(value)) for _, _, value in outcomes):
        return as_it_is
    room = _room(await store.read_profile(stored.run_key), inline_bytes)
    if room is None:
        return as_it_is
    count = stored.last_seq - stored.first_seq + 1
    # As large as it may be: the outcomes, which are most of it, are here already.
    left = await store.read(stored.run_key, after_seq=stored.first_seq - 1, limit=count, max_bytes=2**63 - 1)
    seqs: list[int | None] = []
    for outcome in outcomes:  # both are in order; an outcome without an entry was not recorded
        is_recorded = bool(left) and outcome == (left[0].status.value, left[0].action, left[0].outcome)
        seqs.append(left.pop(0).seq if is_recorded else None)
    return Digests(stored.run_key, seqs, room)


async def result_page(
    store: Store, request: ReadResult, hidden: Redaction, max_message_bytes: int
) -> dict[str, Any]:
    """The result of ``read_result``.

    Raises:
        RequestError: INVALID_REQUEST for an entry that is none of an action, or is not there; GUARD_VIOLATION.
    """
    entry = next(iter(await store.read(request.run_key, after_seq=request.seq - 1, limit=1)), None)
    if entry is None or entry.seq != request.seq or entry.kind not in EXECUTED:
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"run {request.run_key} has no action of number {request.seq}; read_history lists those it has",
            path="seq",
        )
    if entry.kind is EntryKind.SET and hidden.hides(unpack(entry.action)["name"]):
        raise RequestError(
            ErrorCode.GUARD_VIOLATION,
            f"a guard hides what entry {request.seq} assigned",
            run_key=request.run_key,
        )
    most = min(request.length or MOST_READ_BYTES, max_message_bytes // BASE64_SHARE)
    # Megabytes may have to be encoded, and nobody else is to wait for it.
    return await asyncio.to_thread(_page, entry, request.offset, most)


def _page(entry: LogEntry, offset: int, most: int) -> dict[str, Any]:
    size = len(entry.outcome)
    text = json_text(
        unpack(entry.outcome, Allowance.for_all_of(size) if size > LARGE_BYTES else None)
    ).encode()
    part = text[offset : offset + most]
    return {
        "seq": entry.seq,
        "status": entry.status.value,
        "offset": offset,
        "length": len(part),
        "total_bytes": len(text),
        "sha256": hashlib.sha256(text).hexdigest(),
        "data": base64.b64encode(part).decode(),
    }
