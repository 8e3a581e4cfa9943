"""Traces: what each recorded action took, changed and printed, written with the action itself.

Only what is done is traced: replayed actions were when they were done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.channel import unpack
from worker.clock import iso, now_us
from worker.process.output import OutputReader
from worker.runs.digests import json_text
from worker.runs.history import LogEntry, OutcomeStatus
from worker.runs.outcomes import Outcome
from worker.runs.stimuli import Work
from worker.supervisor.events import Recorded

OUTPUT_CHARACTERS: Final = 2000
"""Of what an action printed, at most; the rest is in the log, where that has it."""
MESSAGE_CHARACTERS: Final = 500
VARIABLES: Final = 1000
"""Names of changed variables, at most; their number is told beside."""


@dataclass(frozen=True, slots=True)
class _Done:
    """One outcome: when its step was sent and when it came, processor time, what was printed meanwhile."""

    began_us: int
    ended_us: int
    cpu_us: int
    changed: tuple[str, ...]
    printed: str


class Tracer:
    """Traces of one incarnation, of one request at a time; without ``on`` it does nothing."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self._recorded = Recorded()
        self._printed: list[str] = []
        self._room = OUTPUT_CHARACTERS
        self._done: list[_Done] = []

    def recorded(self, records: Mapping[str, bytes]) -> None:
        """Take what the archive has while the run comes up."""
        if self.on:
            self._recorded.changed(records)

    def begin(self) -> None:
        """A request's first step is sent."""
        self._done.clear()
        self._forget_output()

    def printed(self, line: str) -> None:
        """Take a line of output."""
        if self.on and self._room > 0:
            self._printed.append(line[: self._room])
            self._room -= len(line) + 1

    def ended(self, output: OutputReader, began_us: int, outcome: Outcome, cpu_us: int) -> None:
        """A step of the request has come to an outcome; what it printed is in the pipe, if it is not here."""
        if not self.on:
            return
        output.drain()
        changed = tuple(self._recorded.changed(outcome.records))
        self._done.append(_Done(began_us, now_us(), cpu_us, changed, "\n".join(self._printed)))
        self._forget_output()

    def traces(self, work: Work, entries: Sequence[LogEntry]) -> tuple[tuple[int, str], ...]:
        """The traces to write with ``entries``: by their numbers, as JSON text."""
        if not self.on:
            return ()
        return tuple(
            (entry.seq, json_text(_trace(work, entry, self._done[entry.batch]))) for entry in entries
        )

    def _forget_output(self) -> None:
        self._printed.clear()
        self._room = OUTPUT_CHARACTERS


def _trace(work: Work, entry: LogEntry, done: _Done) -> dict[str, Any]:
    body = unpack(entry.action)
    trace = {
        "action_id": str(entry.seq),
        "seq": entry.seq,
        "request_id": entry.request_id,
        "batch": entry.batch,
        "kind": entry.kind.value,
        "name": body["name"],
        "reasoning": work.why,
        "actor": None if entry.actor is None else unpack(entry.actor),
        "origin": work.cause.value,
        "queued_at": iso(work.asked_us),
        "started_at": iso(done.began_us),
        "ended_at": iso(done.ended_us),
        "cpu_ms": round(done.cpu_us / 1000, 3),
        "outcome": entry.status.value,
        "exception": _exception(entry) if entry.status is OutcomeStatus.ERROR else None,
        "variables_changed": sorted(done.changed)[:VARIABLES],
        "variables_left_out": max(0, len(done.changed) - VARIABLES) or None,
        "output": done.printed or None,
    }
    return {key: value for key, value in trace.items() if value is not None}


def _exception(entry: LogEntry) -> dict[str, Any]:
    """Code, type and message of an error, without its traceback."""
    error = unpack(entry.outcome)
    found = {"code": error["code"], "type": error["information"].get("type"), "message": error["message"]}
    return {key: str(value)[:MESSAGE_CHARACTERS] for key, value in found.items() if value is not None}
