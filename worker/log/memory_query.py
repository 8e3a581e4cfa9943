"""What ``MemoryStore`` keeps of one run, and the queries that look at each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from protocol.entities import RunStatus
from worker.channel import pack, unpack
from worker.log import rules
from worker.log.base import FoundRun, Rewind, RunPage, StoredEvent
from worker.runs.comparison import Comparable, comparable_of
from worker.runs.history import PAGE_BYTES, LogEntry, Replayable, replayable
from worker.runs.query import RunQuery, Subject, holds, sort_runs
from worker.runs.record import RunRecord


@dataclass(slots=True)
class MemoryRun:
    """All there is about one run but its profile.

    ``entries[i].seq == i + 1``, ``events[i].event == i + 1``, metadata values are msgpack.
    """

    record: RunRecord
    entries: list[LogEntry]
    variables: dict[str, bytes]
    metadata: dict[str, bytes] = field(default_factory=dict)
    events: list[StoredEvent] = field(default_factory=list)
    traces: list[tuple[int, str]] = field(default_factory=list)

    def take_back(self, rewind: Rewind) -> None:
        """Delete or mark a tail, and replace the archive."""
        if rewind.marker is None:
            del self.entries[rewind.to_seq :]
            self.traces = [(seq, trace) for seq, trace in self.traces if seq <= rewind.to_seq]
        else:
            self.entries[rewind.to_seq :] = [
                entry if entry.rewound_by is not None else replace(entry, rewound_by=rewind.marker.seq)
                for entry in self.entries[rewind.to_seq :]
            ]
            self.entries += (rewind.marker, *rewind.kept)
        self.variables = dict(rewind.records)

    def events_behind(self, after_event: int, limit: int, max_bytes: int) -> tuple[list[StoredEvent], int]:
        """Events behind ``after_event``, in order, and the highest number."""
        page = self.events[after_event : after_event + limit]
        kept = rules.within_bytes(((event, event.body) for event in page), max_bytes)
        return [event for event, _ in kept], len(self.events)

    def entries_behind(self, after_seq: int, limit: int, max_bytes: int) -> list[LogEntry]:
        """Entries behind ``after_seq``, in order."""
        page = self.entries[after_seq : after_seq + limit]
        return [*rules.within_bytes(page, max_bytes, rules.entry_bytes)]

    def replayable_behind(self, after_seq: int, through_seq: int, limit: int) -> list[Replayable]:
        """What a replay applies of the entries behind ``after_seq`` up to ``through_seq``, in order."""
        end = min(len(self.entries), through_seq)
        found: list[Replayable] = []
        while after_seq < end and len(found) < limit:
            found += replayable(self.entries[after_seq : min(after_seq + limit, end)])
            after_seq += limit
        return [*rules.within_bytes(found[:limit], PAGE_BYTES, rules.replayable_bytes)]

    def traces_behind(self, after_seq: int, limit: int, max_bytes: int) -> list[str]:
        """Traces of entries behind ``after_seq``, in order."""
        rows = ((trace,) for seq, trace in self.traces if seq > after_seq)
        return [trace for (trace,) in rules.within_bytes(islice(rows, limit), max_bytes)]


def search(runs: Iterable[MemoryRun], query: RunQuery, status_of: Callable[[str], RunStatus]) -> RunPage:
    """The runs that match, each of which is looked at."""
    by_key = {run.record.run_key: run for run in runs if run.record.project == query.project}
    matching = [run.record for run in by_key.values() if holds(query.where, _subject(run))]
    page = sort_runs(matching, query.sort)[query.first : query.first + query.count]
    found = (
        FoundRun(
            deepcopy(row),
            chosen(by_key[row.run_key].variables, query.variables or ()),
            chosen(by_key[row.run_key].metadata, query.metadata or ()),
            status_of(row.run_key),
        )
        for row in page
    )
    return RunPage(len(matching), tuple(rules.page_within_bytes(found, query.max_bytes)))


def _subject(run: MemoryRun) -> Subject:
    def value(values: dict[str, bytes], name: str) -> Comparable:
        return comparable_of(values[name]) if name in values else None

    return Subject(run.record, partial(value, run.variables), partial(value, run.metadata))


def chosen(values: Mapping[str, bytes], names: Sequence[str] | None) -> dict[str, bytes]:
    """The values of those names that have one; None means all."""
    if names is None:
        return dict(values)
    return {name: values[name] for name in names if name in values}


def packed(values: Mapping[str, Any]) -> dict[str, bytes]:
    """Values as msgpack."""
    return {name: pack(value) for name, value in values.items()}


def unpacked(values: Mapping[str, bytes]) -> dict[str, Any]:
    """The inverse."""
    return {name: unpack(value) for name, value in values.items()}
