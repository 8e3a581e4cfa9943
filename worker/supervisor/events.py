"""What is told of runs: events built from what happened, and their form on the wire.

A large value is not copied into an event: it is left out and named, and can be read where it is kept anyway.
So an event is small, whatever a model returns, and every event can be sent and read again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from protocol.events import EventKind, topic
from worker.channel import pack
from worker.clock import iso
from worker.log.base import NewEvent, StoredEvent
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.record import RunRecord
from worker.settings import Settings

VALUE_BYTES: Final = 64 * 1024
"""Most bytes of one value in an event."""

EVENT_BYTES: Final = 256 * 1024
"""Most bytes of all values of one event together."""

_FIXMAP: Final = 0x80
_FIXARRAY: Final = 0x90
_FIX_ITEMS: Final = 15
"""msgpack's first byte of a map (a list) of at most so many items, to which their number is added."""

MAX_PATH: Final = 200
"""Characters of a name that ``omitted`` repeats; names are the model's and may be long."""


class _Budget:
    """Which values an event still has room for; ``omitted`` names those that it had none for."""

    def __init__(self) -> None:
        self._left = EVENT_BYTES
        self.omitted: list[str] = []

    def takes(self, size: int, *path: str) -> bool:
        """Whether a value of ``size`` bytes goes in; ``path`` is joined only where it does not."""
        if size > VALUE_BYTES or size > self._left:
            self.omitted.append("".join(path)[:MAX_PATH])
            return False
        self._left -= size
        return True

    def kept(self, prefix: str, values: Mapping[str, bytes]) -> dict[str, bytes]:
        """Those of encoded values that go in."""
        return {
            name: value for name, value in values.items() if self.takes(len(name) + len(value), prefix, name)
        }


@dataclass(frozen=True, slots=True)
class Announcer:
    """Makes events. Each method gives none where the settings say that the run is to tell none of the kind."""

    settings: Settings

    def created(
        self, row: RunRecord, view: Mapping[str, Any], variables: Mapping[str, bytes]
    ) -> tuple[NewEvent, ...]:
        """A run exists and is in memory; ``variables`` are the values (msgpack) that its archive begins with."""
        if not self._tells(row):
            return ()
        budget = _Budget()
        fields = {"run": pack(view), "variables": _packed_map(budget.kept("variables.", variables))}
        if budget.omitted:
            fields["omitted"] = pack(budget.omitted)
        return (NewEvent(EventKind.CREATED, row.created_us, _packed_map(fields)),)

    def state(
        self, row: RunRecord, entries: Sequence[LogEntry], variables: Mapping[str, bytes]
    ) -> tuple[NewEvent, ...]:
        """Actions were recorded; ``variables`` are the archive values (msgpack) that they changed."""
        if not self._tells(row):
            return ()
        budget, last = _Budget(), entries[-1]
        actions = [_action(entry, index, budget) for index, entry in enumerate(entries)]
        fields = {
            "seq": pack(last.seq),
            "actions": _packed_list(actions),
            "variables": _packed_map(budget.kept("variables.", variables)),
            "request_id": pack(last.request_id),
        }
        if last.actor is not None:
            fields["actor"] = last.actor
        if budget.omitted:
            fields["omitted"] = pack(budget.omitted)
        return (NewEvent(EventKind.STATE, last.at_us, _packed_map(fields)),)

    def metadata(
        self, row: RunRecord, changed: Mapping[str, Any], request_id: str, at_us: int
    ) -> tuple[NewEvent, ...]:
        """Metadata was changed."""
        if not self._tells(row):
            return ()
        budget = _Budget()
        packed = {name: pack(value) for name, value in changed.items()}
        fields = {"metadata": _packed_map(budget.kept("metadata.", packed)), "request_id": pack(request_id)}
        if budget.omitted:
            fields["omitted"] = pack(budget.omitted)
        return (NewEvent(EventKind.METADATA, at_us, _packed_map(fields)),)

    def restored(self, seq: int, at_us: int) -> tuple[NewEvent, ...]:
        """A run is in memory again, at ``seq``."""
        return (NewEvent(EventKind.RESTORED, at_us, pack({"seq": seq})),)

    def rewound(self, to_seq: int, seq: int, request_id: str | None, at_us: int) -> tuple[NewEvent, ...]:
        """A run has the state that it had at ``to_seq``; its head is ``seq`` now."""
        body = {"to_seq": to_seq, "seq": seq, "request_id": request_id}
        return (NewEvent(EventKind.REWOUND, at_us, pack(body)),)

    def evicted(self, seq: int, reason: str, at_us: int) -> tuple[NewEvent, ...]:
        """A run is out of memory."""
        return (NewEvent(EventKind.EVICTED, at_us, pack({"reason": reason, "seq": seq})),)

    def closed(self, old: RunRecord, new: RunRecord, request_id: str) -> tuple[NewEvent, ...]:
        """A row was changed; an event where that closed the run."""
        if old.closed or not new.closed:
            return ()
        body = {"seq": new.seq, "request_id": request_id}
        return (NewEvent(EventKind.CLOSED, new.last_modified_us, pack(body)),)

    def status(self, before: str, after: str, reason: str | None, at_us: int) -> tuple[NewEvent, ...]:
        """What a run does has changed."""
        if not self.tells_status:
            return ()
        body = {"from": before, "to": after} | ({} if reason is None else {"reason": reason})
        return (NewEvent(EventKind.STATUS, at_us, pack(body)),)

    @property
    def tells_status(self) -> bool:
        """Whether changes of what a run does are told."""
        return "status" in self.settings.extra_events

    @property
    def tells_output(self) -> bool:
        """Whether what models print is told."""
        return "output" in self.settings.extra_events

    def output(self, lines: Iterable[tuple[str, str]], at_us: int) -> tuple[NewEvent, ...]:
        """A model printed lines, each with its level."""
        body = {"lines": [{"level": level, "text": text} for level, text in lines]}
        return (NewEvent(EventKind.OUTPUT, at_us, pack(body)),)

    def _tells(self, row: RunRecord) -> bool:
        return row.allow_channel or self.settings.of_project(row.project).event_runs == "all"


class Recorded:
    """Which values a run's archive has, as far as is needed to see which ones an action changed."""

    def __init__(self) -> None:
        self._hashes: dict[str, int] = {}

    def changed(self, records: Mapping[str, bytes]) -> dict[str, bytes]:
        """Those values that are not what was recorded under their name before; they count as recorded now."""
        found = {name: value for name, value in records.items() if self._hashes.get(name) != hash(value)}
        self._hashes.update((name, hash(value)) for name, value in found.items())
        return found


def encode_event(event: StoredEvent) -> tuple[bytes, bytes]:
    """Both frames of an event. What its body holds is not decoded for that."""
    head = pack(
        {
            "version": 1,
            "event": event.event,
            "run_key": event.run_key,
            "kind": str(event.kind),
            "at": iso(event.at_us),
        }
    )
    count = (head[0] - _FIXMAP) + (event.body[0] - _FIXMAP)
    return topic(event.run_key, event.kind).encode(), bytes([_FIXMAP + count]) + head[1:] + event.body[1:]


def event_view(event: StoredEvent) -> dict[str, Any]:
    """An event as ``read_events`` shows it: what its second frame holds."""
    view: dict[str, Any] = msgpack.unpackb(encode_event(event)[1], raw=False)
    return view


def _header(kind: int, count: int) -> bytes:
    """The header of a short map or list, which most are; nothing for a long one."""
    return bytes([kind + count]) if count <= _FIX_ITEMS else b""


def _packed_map(values: Mapping[str, bytes]) -> bytes:
    """A map from names to values that are msgpack already."""
    header = _header(_FIXMAP, len(values)) or msgpack.Packer().pack_map_header(len(values))
    return header + b"".join([pack(name) + value for name, value in values.items()])


def _packed_list(values: Sequence[bytes]) -> bytes:
    header = _header(_FIXARRAY, len(values)) or msgpack.Packer().pack_array_header(len(values))
    return header + b"".join(values)


def _action(entry: LogEntry, index: int, budget: _Budget) -> bytes:
    """``{kind, name, arguments | value, result | error}``, without what is too large."""
    is_execute = entry.kind is EntryKind.EXECUTE
    place = f"actions[{index}]."
    action = entry.action
    if not budget.takes(len(action), place, "arguments" if is_execute else "value"):
        body = msgpack.unpackb(action, raw=False)
        action = pack({"kind": body["kind"], "name": body["name"]})
    if entry.status is OutcomeStatus.ERROR:
        key = "error"
    elif is_execute:
        key = "result"
    else:
        return action
    if not budget.takes(len(entry.outcome), place, key):
        return action
    return bytes([action[0] + 1]) + action[1:] + pack(key) + entry.outcome
