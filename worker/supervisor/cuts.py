"""Restores that replay filters take something from: a rewind that records anew what it keeps of the tail."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from protocol.errors import ErrorCode
from protocol.messages import RestoreRun
from worker.clock import now_us
from worker.errors import RequestError
from worker.log.base import Rewind, Store, StoredRequest
from worker.runs.assembly import Cut, cut_by, filters_of
from worker.runs.contexts import ModelContext
from worker.runs.history import NEVER, Replayable, ReplayPlan, replayable
from worker.runs.record import RunRecord
from worker.supervisor.events import Announcer
from worker.supervisor.histories import pages, replay_pages
from worker.supervisor.records import rewind_entry


async def find_cut(store: Store, record: RunRecord, context: ModelContext) -> Cut | None:
    """What the filters of a context take back of a run's history."""
    filters = filters_of(context.restorations.parts())
    if not filters:
        return None
    entries = [entry async for page in pages(store, record.run_key, record.seq) for entry in page]
    return cut_by(entries, filters)


def cut_plan(cut: Cut, compare_after_seq: int) -> ReplayPlan:
    """What to replay; what outcomes depended on is not there any more where something behind it is kept."""
    return ReplayPlan(through_seq=cut.to_seq, compare_after_seq=NEVER if cut.kept else compare_after_seq)


async def cut_pages(store: Store, run_key: str, cut: Cut) -> AsyncIterator[Sequence[Replayable]]:
    """What a replay applies of the history that the cut leaves."""
    async for page in replay_pages(store, run_key, cut.to_seq):
        yield page
    yield replayable(cut.kept)


def cut_rewind(
    row: RunRecord, cut: Cut, request: RestoreRun | None, records: Mapping[str, bytes]
) -> tuple[Rewind, RunRecord]:
    """The write that makes a cut durable, and the row behind it; no request or events in it yet."""
    at_us = now_us()
    marker = rewind_entry(row, request, cut.to_seq, at_us)
    kept = tuple(
        replace(entry, seq=seq, epoch=row.epoch, request_id=None)
        for seq, entry in enumerate(cut.kept, marker.seq + 1)
    )
    rewind = Rewind(
        run_key=row.run_key,
        epoch=row.epoch,
        head_seq=row.seq,
        to_seq=cut.to_seq,
        marker=marker,
        at_us=at_us,
        kept=kept,
        records=records,
    )
    head = marker.seq + len(kept)
    return rewind, replace(row, seq=head, last_modified_us=at_us, last_operated_us=at_us)


@dataclass(frozen=True, slots=True)
class CutCommit:
    """Makes a cut durable when the run has come up; ``digest`` is that of the request, where there is one."""

    store: Store
    cut: Cut
    request: RestoreRun | None
    digest: bytes
    execution: dict[str, Any]
    announcer: Announcer
    rendered: Callable[[RunRecord], bytes]

    async def __call__(
        self, row: RunRecord, records: Mapping[str, bytes], _answers: bytes | None
    ) -> RunRecord:
        """Write it; gives the row as it then is."""
        request = self.request
        rewind, after = cut_rewind(row, self.cut, request, records)
        if self.cut.kept or (request is not None and request.execution_context is not None):
            # First, so that a crash in between has too little compared, and not what cannot be repeated.
            edit = partial(replace, execution_context=self.execution, compare_after_seq=after.seq)
            await self.store.update(row.run_key, edit)
            after = edit(after)
        events = self.announcer.rewound(
            self.cut.to_seq, after.seq, None if request is None else request.request_id, rewind.at_us
        )
        await self.store.rewind(replace(rewind, events=events, request=self._answered(after)))
        return after

    def _answered(self, row: RunRecord) -> StoredRequest | None:
        if self.request is None:
            return None
        request_id, result = self.request.request_id, self.rendered(row)
        return StoredRequest(request_id, row.run_key, self.digest, row.seq, row.seq, result)


def refuse_filters(context: ModelContext) -> None:
    """A rewind says itself where it goes back to.

    Raises:
        RequestError: INVALID_CONTEXT.
    """
    if filters_of(context.restorations.parts()):
        path = "restorations.assembly"
        message = (
            f"{path}: replay filters are for restore_run and clone_run; a rewind says itself what it leaves"
        )
        raise RequestError(ErrorCode.INVALID_CONTEXT, message, path=path)
