"""Histories as they are read from a store: in pages, and searched for the point that a rewind goes back to."""

from collections.abc import AsyncIterator, Sequence

import msgpack

from protocol.errors import ErrorCode
from protocol.messages import RewindRun
from worker.errors import RequestError
from worker.log.base import Store
from worker.runs.contexts import RewindMarker
from worker.runs.history import LogEntry, Replayable, RewindFinder, RewindRefusedError
from worker.runs.record import RunRecord
from worker.supervisor.replay import PAGE_ENTRIES


async def pages(store: Store, run_key: str, through_seq: int) -> AsyncIterator[list[LogEntry]]:
    """A history in pages, up to and including ``through_seq``."""
    after = 0
    while True:
        page = await store.read(run_key, after_seq=after, limit=PAGE_ENTRIES)
        wanted = [entry for entry in page if entry.seq <= through_seq]
        if wanted:
            yield wanted
        if not page or page[-1].seq >= through_seq:
            return
        after = page[-1].seq


async def replay_pages(store: Store, run_key: str, through_seq: int) -> AsyncIterator[list[Replayable]]:
    """What a replay applies of a history, in pages, up to and including ``through_seq``."""
    after = 0
    while True:
        page = await store.read_replayable(
            run_key, after_seq=after, through_seq=through_seq, limit=PAGE_ENTRIES
        )
        if page:
            yield page
        if not page or page[-1][0] >= through_seq:
            return
        after = page[-1][0]


async def no_pages() -> AsyncIterator[Sequence[Replayable]]:
    """The history of a run that is only being created."""
    nothing: tuple[Sequence[Replayable], ...] = ()
    for page in nothing:
        yield page


async def rewind_target(store: Store, record: RunRecord, request: RewindRun, marker: RewindMarker) -> int:
    """The last seq that a rewind keeps.

    Raises:
        RequestError: REWIND_INVALID.
    """

    def is_step(entry: LogEntry) -> bool:
        action = msgpack.unpackb(entry.action, raw=False)
        return bool(action.get("name") == marker.name and marker.fits(action.get("arguments") or []))

    if request.to_seq is None and marker.name is None:
        raise RequestError(
            ErrorCode.REWIND_INVALID,
            f"the context of {record.model_file} declares no restorations.rewind.name, so there are no steps "
            "to count; declare one, or rewind to_seq",
            run_key=record.run_key,
        )
    finder = RewindFinder(is_step)
    async for page in pages(store, record.run_key, record.seq):
        finder.feed(page)
    try:
        if request.to_seq is not None:
            return finder.by_seq(request.to_seq, record.seq)
        return finder.by_count(request.rewind_count or 0)
    except RewindRefusedError as error:
        raise RequestError(ErrorCode.REWIND_INVALID, str(error), run_key=record.run_key) from error
