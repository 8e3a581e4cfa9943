"""The head of a run's history in one incarnation: the run's row, moved by what is appended."""

from dataclasses import replace

from worker.log.base import Append
from worker.runs.profile import Usage, used
from worker.runs.record import RunRecord
from worker.runs.stimuli import Work
from worker.supervisor.answers import entries_of, stored_request
from worker.supervisor.telling import RunTeller


class Head:
    """``seq`` is the last durable entry's number; the row that belongs to it is made when somebody asks for it."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._moved_at_us = 0
        self._wall_us = 0
        self._cpu_us = 0
        self._unseen = Usage()
        self.seq = record.seq

    @property
    def attributes(self) -> RunRecord:
        """A row whose attributes are right; its head and times may lag behind, and asking costs nothing."""
        return self._record

    @property
    def record(self) -> RunRecord:
        """The run's row as of the last durable write."""
        if self._record.seq != self.seq:
            at_us = self._moved_at_us
            row = used(self._record, self._unseen)
            self._record = replace(row, seq=self.seq, last_operated_us=at_us, last_modified_us=at_us)
            self._unseen = Usage()
        return self._record

    @record.setter
    def record(self, record: RunRecord) -> None:
        self._record = record
        self._unseen = Usage()
        self.seq = record.seq

    def use(self, wall_us: int, cpu_us: int) -> None:
        """A step took so much; the next write tells of it."""
        self._wall_us += wall_us
        self._cpu_us += cpu_us

    def append_of(self, work: Work, teller: RunTeller, rss_bytes: int) -> Append:
        """The write that makes durable what ``work`` did; ``rss_bytes``: what the process holds by now."""
        run_key, epoch = self._record.run_key, self._record.epoch
        entries = entries_of(work, self.seq, epoch)
        work.first_seq = entries[0].seq
        records: dict[str, bytes] = {}
        for outcome in work.outcomes:
            records.update(outcome.records)
        return Append(
            run_key=run_key,
            epoch=epoch,
            head_seq=self.seq,
            entries=entries,
            at_us=work.outcomes[-1].at_us,
            records=records,
            request=stored_request(work, run_key, entries),
            events=teller.state(self._record, entries, records),
            traces=teller.tracer.traces(work, entries),
            changes=teller.executed(work),
            usage=Usage(self._wall_us, self._cpu_us, rss_bytes, len(entries)),
        )

    def move(self, append: Append) -> None:
        """``append`` became durable."""
        self.seq, self._moved_at_us = append.entries[-1].seq, append.at_us
        if append.usage is not None:
            self._unseen = self._unseen.with_(append.usage)
        self._wall_us = self._cpu_us = 0
