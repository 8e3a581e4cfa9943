"""Both stores against a model made of lists and maps, under any sequence of writes."""

import asyncio
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgpack
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.errors import DuplicateRequestError, FencedError, RequestError, WorkerError
from worker.log.base import Append, Creation, Rewind, Store, StoredRequest
from worker.log.memory import MemoryStore
from worker.log.sqlite import SqliteStore
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.record import RunRecord

DIGEST = b"d" * 16
KEYS = st.sampled_from(["a", "b", "c"])
NAMES = st.sampled_from(["x", "y"])
VALUES = st.one_of(st.none(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=3))
RECORDS = st.dictionaries(NAMES, st.binary(max_size=4), max_size=2)

_Answer = TypeVar("_Answer")
Outcomes = list[tuple[str, bytes, bytes]]


@dataclass
class ModelRun:
    row: RunRecord
    entries: list[LogEntry] = field(default_factory=list)
    variables: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Outcomes] = field(default_factory=dict)
    """What every request was answered with, however the history went on."""
    metadata_answers: dict[str, dict[str, Any]] = field(default_factory=dict)


class StoresAgainstModel(RuleBasedStateMachine):
    """Each rule does one thing to the model and to both stores, and all three must answer alike."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.memory = MemoryStore()
        self.sqlite: Store = self.runner.run(SqliteStore.open(Path(self.folder.name)))
        self.runs: dict[str, ModelRun] = {}
        self.requests = 0
        self.clock = 100

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()
        self.folder.cleanup()

    def on_both(self, call: Any, refused: type[WorkerError] | None = None) -> Any:
        """Do it on both stores; both answer the same, or both refuse as told."""
        answers: list[Any] = []
        for store in (self.memory, self.sqlite):
            if refused is None:
                answers.append(self.wait(call(store)))
            else:
                with pytest.raises(refused) as caught:
                    self.wait(call(store))
                answers.append((caught.value.code, caught.value.information))
        assert answers[0] == answers[1]
        return answers[0]

    def wait(self, answer: Awaitable[_Answer]) -> _Answer:
        async def awaited() -> _Answer:
            return await answer

        return self.runner.run(awaited())

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def new_request(self, key: str, first: int, last: int) -> StoredRequest:
        self.requests += 1
        return StoredRequest(f"request {self.requests}", key, DIGEST, first, last)

    def new_entries(self, run: ModelRun, count: int, request_id: str) -> tuple[LogEntry, ...]:
        head = run.row.seq
        return tuple(
            LogEntry(
                head + 1 + batch,
                run.row.epoch,
                EntryKind.EXECUTE,
                self.tick(),
                b"action",
                None,
                OutcomeStatus.COMPLETED,
                b"outcome %d" % self.clock,
                DIGEST,
                request_id,
                batch,
                answers=b"answers" if self.clock % 2 else None,
            )
            for batch in range(count)
        )

    @rule(key=KEYS, records=RECORDS, value=VALUES)
    def create(self, key: str, records: dict[str, bytes], value: Any) -> None:
        if key in self.runs:
            return
        row = RunRecord(key, "m.py", "python", "f", self.tick(), self.clock, 1, {}, {}, epoch=1)
        self.on_both(lambda store: store.create(Creation(row, (), records, {"x": value})))
        self.runs[key] = ModelRun(row, [], dict(records), {"x": value})

    @rule(key=KEYS, count=st.integers(0, 3), records=RECORDS)
    def append(self, key: str, count: int, records: dict[str, bytes]) -> None:
        run = self.runs.get(key)
        if run is None:
            absent = Append(key, 1, 0, (), 1, records)
            self.on_both(lambda store: store.append(absent), RequestError)
            return
        head = run.row.seq
        request = self.new_request(key, head + 1, head + count) if count else None
        entries = self.new_entries(run, count, request.request_id if request else "")
        append = Append(key, run.row.epoch, head, entries, self.tick(), records, request)
        self.on_both(lambda store: store.append(append))
        run.entries.extend(entries)
        run.variables.update(records)
        run.row = replace(
            run.row, seq=head + count, last_operated_us=append.at_us, last_modified_us=append.at_us
        )
        if request:
            run.answers[request.request_id] = [(str(e.status), e.action, e.outcome) for e in entries]

    @precondition(lambda self: any(run.answers for run in self.runs.values()))
    @rule(data=st.data(), records=RECORDS)
    def append_again(self, data: st.DataObject, records: dict[str, bytes]) -> None:
        """The same request once more, by a writer who believes the right head."""
        run = self.runs[data.draw(st.sampled_from([key for key, run in self.runs.items() if run.answers]))]
        request_id = data.draw(st.sampled_from(sorted(run.answers)))
        entries = self.new_entries(run, 1, request_id)
        request = StoredRequest(request_id, run.row.run_key, DIGEST, entries[0].seq, entries[0].seq)
        again = Append(run.row.run_key, run.row.epoch, run.row.seq, entries, self.tick(), records, request)
        self.on_both(lambda store: store.append(again), DuplicateRequestError)

    @precondition(lambda self: bool(self.runs))
    @rule(
        data=st.data(),
        shift=st.sampled_from([(-1, 0), (1, 0), (0, 1), (0, -1)]),
        records=RECORDS,
        rewinding=st.booleans(),
    )
    def stale_writer(
        self, data: st.DataObject, shift: tuple[int, int], records: dict[str, bytes], rewinding: bool
    ) -> None:
        key = data.draw(st.sampled_from(sorted(self.runs)))
        row = self.runs[key].row
        epoch, head = row.epoch + shift[0], max(row.seq + shift[1], 1)
        if (epoch, head) == (row.epoch, row.seq):
            return
        request = self.new_request(key, 1, 1)
        if rewinding:
            rewind = Rewind(key, epoch, head, 1, None, self.tick(), records, request)
            self.on_both(lambda store: store.rewind(rewind), FencedError)
        else:
            append = Append(key, epoch, head, (), self.tick(), records, request)
            self.on_both(lambda store: store.append(append), FencedError)

    @rule(key=KEYS)
    def claim(self, key: str) -> None:
        run = self.runs.get(key)
        claimed = self.on_both(lambda store: store.claim(key), None if run else RequestError)
        if run:
            run.row = replace(run.row, epoch=run.row.epoch + 1)
            assert claimed == run.row

    @precondition(lambda self: any(run.row.seq for run in self.runs.values()))
    @rule(data=st.data(), records=RECORDS, marked=st.booleans())
    def rewind(self, data: st.DataObject, records: dict[str, bytes], marked: bool) -> None:
        key = data.draw(st.sampled_from([key for key, run in self.runs.items() if run.row.seq]))
        run = self.runs[key]
        head = run.row.seq
        to_seq = data.draw(st.integers(1, head))
        marker = replace(self.new_entries(run, 1, "")[0], kind=EntryKind.REWIND) if marked else None
        rewind = Rewind(key, run.row.epoch, head, to_seq, marker, self.tick(), records)
        self.on_both(lambda store: store.rewind(rewind))
        if marker:
            run.entries[to_seq:] = [
                replace(entry, rewound_by=entry.rewound_by or marker.seq) for entry in run.entries[to_seq:]
            ]
            run.entries.append(marker)
        else:
            del run.entries[to_seq:]
        run.variables = dict(records)
        run.row = replace(
            run.row,
            seq=len(run.entries),
            last_operated_us=rewind.at_us,
            last_modified_us=rewind.at_us,
        )

    @rule(key=KEYS, name=NAMES, value=VALUES)
    def update_metadata(self, key: str, name: str, value: Any) -> None:
        run = self.runs.get(key)
        request = self.new_request(key, 0, 0)
        at_us = self.tick()
        changed = self.on_both(
            lambda store: store.update_metadata(
                key, lambda now: {name: [now.get(name), value]}, request, at_us=at_us
            ),
            None if run else RequestError,
        )
        if run:
            assert changed == {name: [run.metadata.get(name), value]}
            run.metadata.update(changed)
            # A list that held itself would grow with every step.
            run.metadata[name] = value
            self.on_both(lambda store: store.update_metadata(key, lambda _: {name: value}, at_us=at_us))
            run.row = replace(run.row, last_modified_us=at_us)
            run.metadata_answers[request.request_id] = changed

    @rule(key=KEYS, marked=st.booleans())
    def update(self, key: str, marked: bool) -> None:
        run = self.runs.get(key)
        new = self.on_both(
            lambda store: store.update(key, lambda row: replace(row, marked=marked)),
            None if run else RequestError,
        )
        if run:
            run.row = replace(run.row, marked=marked)
            assert new == run.row

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        self.on_both(lambda store: store.remove(key))
        self.runs.pop(key, None)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.sqlite.close())
        self.sqlite = self.runner.run(SqliteStore.open(Path(self.folder.name)))

    @invariant()
    def all_three_agree(self) -> None:
        assert self.on_both(lambda store: store.count()) == len(self.runs)
        for key in ("a", "b", "c"):
            run = self.runs.get(key)
            entries = self.on_both(lambda store, key=key: store.read(key, limit=10_000))
            row = self.on_both(lambda store, key=key: store.get(key))
            variables = self.on_both(lambda store, key=key: store.read_variables(key))
            metadata = self.on_both(lambda store, key=key: store.read_metadata(key))
            if run is None:
                assert (entries, row, variables, metadata) == ([], None, {}, {})
                continue
            assert (entries, row, variables, metadata) == (run.entries, run.row, run.variables, run.metadata)

    @invariant()
    def histories_are_gapless_and_epochs_never_decrease(self) -> None:
        for key in self.runs:
            entries = self.on_both(lambda store, key=key: store.read(key, limit=10_000))
            assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
            epochs = [entry.epoch for entry in entries]
            assert epochs == sorted(epochs)

    @invariant()
    def requests_keep_their_answers_and_only_accepted_ones_are_there(self) -> None:
        expected = {
            request_id: run
            for run in self.runs.values()
            for request_id in (*run.answers, *run.metadata_answers)
        }
        for number in range(1, self.requests + 1):
            request_id = f"request {number}"
            found = self.memory.find_request(request_id)
            assert self.sqlite.find_request(request_id) == found
            run = expected.get(request_id)
            assert [request.run_key for request in found] == ([run.row.run_key] if run else [])
            if run and request_id in run.answers:
                request = found[0]
                answer = self.on_both(lambda store, request=request: store.read_outcomes(request))
                assert answer == run.answers[request_id]
            elif run:
                assert found[0].result is not None
                assert msgpack.unpackb(found[0].result) == run.metadata_answers[request_id]


TestStoresAgainstModel = StoresAgainstModel.TestCase
TestStoresAgainstModel.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
