"""Long histories, written straight into a store: a million calls would take longer than what is to be measured."""

from pathlib import Path

from worker.channel import outcome_digest, pack
from worker.log.base import Append
from worker.log.sqlite import SqliteStore
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus

ENTRIES_PER_APPEND = 10_000
ACTION = pack({"kind": "execute", "name": "step", "arguments": []})


async def write_histories(data: Path, keys: dict[int, str]) -> None:
    """Append to each run of the plain model, just created, as many steps as its key in ``keys`` says.

    Nobody else may have the store open.
    """
    store = await SqliteStore.open(data)
    try:
        for length, run_key in keys.items():
            run = await store.get(run_key)
            assert run is not None
            for begin in range(0, length, ENTRIES_PER_APPEND):
                counts = range(begin + 1, min(begin + ENTRIES_PER_APPEND, length) + 1)
                entries = tuple(
                    _step(run.seq + count, run.epoch, run.created_us + count, count) for count in counts
                )
                await store.append(
                    Append(run_key, run.epoch, run.seq + begin, entries, run.created_us + counts[-1])
                )
    finally:
        await store.close()


def _step(seq: int, epoch: int, at_us: int, count: int) -> LogEntry:
    outcome = pack(count)
    status = OutcomeStatus.COMPLETED
    digest = outcome_digest(status, outcome)
    return LogEntry(seq, epoch, EntryKind.EXECUTE, at_us, ACTION, None, status, outcome, digest)
