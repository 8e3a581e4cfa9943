"""What every adapter checks and answers alike, whatever keeps the data.

Broken preconditions of a caller are bugs and raise ``ValueError`` before anything is submitted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from protocol.errors import ErrorCode
from protocol.events import EventKind
from worker.channel import pack, unpack
from worker.errors import FencedError, LogUnavailableError, RequestError
from worker.log.base import Append, Binding, Creation, FoundRun, NewEvent, Rewind, StoredRequest
from worker.log.searching import FoundProfile
from worker.runs.history import LogEntry, Replayable
from worker.runs.profile import RunProfile, StatusChange, default_profile
from worker.runs.record import RunRecord

T = TypeVar("T")
Outcomes = list[tuple[str, bytes, bytes]]
"""``(status, action, outcome)`` of the entries that answer a request, in order."""

IMMUTABLE = (
    *("run_key", "seq", "epoch", "seed", "project"),
    *("wall_us", "cpu_us", "peak_rss_bytes", "actions"),
)
"""What an edit of a run's row must leave as it is: history and fencing have their own writes, the rest never changes."""

IMMUTABLE_PROFILE = ("run_key", "project", "run_id", "request_digest", "status", "status_seq")
"""What an edit of a profile must leave as it is; the status has its own write."""


def check_append(append: Append) -> None:
    """Entries continue the head without a hole and bear the writer's epoch."""
    _check_entries(append.run_key, append.entries, append.head_seq, append.epoch)


def check_creation(creation: Creation) -> None:
    """Entries count from 1 to the row's head; their epochs may be those of the run they were cloned from."""
    _check_entries(creation.run.run_key, creation.entries, 0, None)
    if creation.run.seq != len(creation.entries):
        raise ValueError(
            f"run {creation.run.run_key}: head {creation.run.seq}, but {len(creation.entries)} entries"
        )


def check_rewind(rewind: Rewind) -> None:
    """The target lies in the history, and the marker is its next entry; only a marker is followed by others."""
    if not 1 <= rewind.to_seq <= rewind.head_seq:
        raise ValueError(f"run {rewind.run_key}: rewind to {rewind.to_seq}, head {rewind.head_seq}")
    if rewind.marker is not None:
        _check_entries(rewind.run_key, (rewind.marker, *rewind.kept), rewind.head_seq, rewind.epoch)
    elif rewind.kept:
        raise ValueError(f"run {rewind.run_key}: a rewind without a marker keeps nothing of the tail")


def last_bytes(row: Any) -> int:
    """What a row carries that ends in bytes."""
    return len(row[-1])


def within_bytes(rows: Iterable[T], max_bytes: int, size_of: Callable[[T], int] = last_bytes) -> Iterator[T]:
    """Rows until what they carry together exceeds ``max_bytes``; the first one in any case."""
    size = 0
    for row in rows:
        carried = size_of(row)
        size += carried
        if size > max_bytes and size > carried:
            return
        yield row


def entry_bytes(entry: LogEntry) -> int:
    """What an entry carries of its caller's and the model's."""
    return len(entry.action) + len(entry.outcome) + len(entry.answers or b"")


def replayable_bytes(entry: Replayable) -> int:
    """What a replay carries of an entry."""
    _seq, _at_us, _actor, action, answers, _digest, _status = entry
    return len(action) + len(answers or b"")


def page_within_bytes(runs: Iterable[FoundRun], max_bytes: int) -> Iterator[FoundRun]:
    """Runs until what they carry of the caller's and the model's exceeds ``max_bytes``; the first in any case."""
    size = 0
    for found in runs:
        carried = sum(map(len, found.variables.values())) + sum(map(len, found.metadata.values()))
        carried += len(pack(found.run.execution_context))
        size += carried
        if size > max_bytes and size > carried:
            return
        yield found


def profiles_within_bytes(found: Iterable[FoundProfile], max_bytes: int) -> Iterator[FoundProfile]:
    """Runs until what they carry of the caller's and the model's exceeds ``max_bytes``; the first in any case."""
    size = 0
    for one in found:
        profile = one.profile
        documents = (profile.parameters, profile.result, profile.result_errors, profile.result_schema)
        carried = len(pack([*documents, profile.error, profile.context, profile.evaluation, one.metadata]))
        size += carried
        if size > max_bytes and size > carried:
            return
        yield one


def _check_entries(run_key: str, entries: Sequence[LogEntry], head_seq: int, epoch: int | None) -> None:
    expected = head_seq
    for entry in entries:
        expected += 1
        if entry.seq != expected:
            raise ValueError(f"run {run_key}: entry {entry.seq} where {expected} must follow")
        if epoch is not None and entry.epoch != epoch:
            raise ValueError(f"run {run_key}: entry {entry.seq} of epoch {entry.epoch}, writer's is {epoch}")


def check_edit(old: RunRecord, new: RunRecord) -> None:
    """An edit keeps what identifies the run and orders its writers."""
    for name in IMMUTABLE:
        if getattr(old, name) != getattr(new, name):
            raise ValueError(f"run {old.run_key}: an edit may not change {name}")


def check_profile_edit(old: RunProfile, new: RunProfile) -> None:
    """An edit keeps what identifies the run, and its status."""
    for name in IMMUTABLE_PROFILE:
        if getattr(old, name) != getattr(new, name):
            raise ValueError(f"run {old.run_key}: an edit of its profile may not change {name}")


def profile_of(creation: Creation) -> RunProfile:
    """The profile of a new run: that which is given, else the defaults."""
    profile, run = creation.profile, creation.run
    if profile is None:
        return default_profile(run)
    if (profile.run_key, profile.project) != (run.run_key, run.project):
        raise ValueError(f"run {run.run_key} with the profile of {profile.run_key}")
    return profile


def status_events(old: RunProfile, new: RunProfile, change: StatusChange) -> tuple[NewEvent, ...]:
    """What tells of a change of status, where the run or the change wants it told."""
    if not (change.tell or new.tells_status):
        return ()
    body = {"from": old.status.value, "to": new.status.value, "status_seq": new.status_seq}
    if change.reason is not None:
        body["reason"] = change.reason
    return (NewEvent(EventKind.STATUS, change.at_us, pack(body)),)


def run_not_found(run_key: str) -> RequestError:
    """The answer where a run is named that the directory does not have."""
    return RequestError(ErrorCode.RUN_NOT_FOUND, f"run {run_key} does not exist", run_key=run_key)


def run_exists(run_key: str) -> ValueError:
    """Run keys are made by the worker and never used twice: a second creation is a bug."""
    return ValueError(f"run {run_key} exists already")


def fenced(write: Append | Rewind, *, current_epoch: int, current_seq: int) -> FencedError:
    """The refusal of a writer whose epoch or head is not the run's."""
    return FencedError(
        f"run {write.run_key}: writer has epoch {write.epoch} and head {write.head_seq}, "
        f"the log epoch {current_epoch} and head {current_seq}",
        run_key=write.run_key,
        epoch=write.epoch,
        head_seq=write.head_seq,
        current_epoch=current_epoch,
        current_seq=current_seq,
    )


def already_bound(binding: Binding, run_key: str) -> FencedError:
    """The refusal of a new run where another one was bound first."""
    what = f"world {binding.world_key}" if binding.world_key else "singular run"
    return FencedError(
        f"the {what} of project {binding.project!r} is run {run_key} already",
        run_key=run_key,
        project=binding.project,
        world_key=binding.world_key,
    )


def run_id_taken(profile: RunProfile, run_key: str) -> FencedError:
    """The refusal of a new run whose id another one got first."""
    return FencedError(
        f"run id {profile.run_id} of project {profile.project!r} is that of run {run_key} already",
        run_key=run_key,
        project=profile.project,
        run_id=profile.run_id,
    )


def binding_edit(edit: Callable[[RunRecord], RunRecord]) -> Callable[[RunRecord], RunRecord]:
    """An edit of a row that is bound with it, which raises where the run is closed or hidden."""

    def checked(run: RunRecord) -> RunRecord:
        if run.closed:
            message = f"run {run.run_key} is closed; a clone of it can go on"
            raise RequestError(ErrorCode.RUN_CLOSED, message, run_key=run.run_key)
        if run.hidden:
            message = f"run {run.run_key} is hidden; show it first, with hidden false"
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path="run_key", run_key=run.run_key)
        return edit(run)

    return checked


def closed() -> LogUnavailableError:
    """The refusal of everything that comes after ``close()``."""
    return LogUnavailableError("the log is closed; the worker is shutting down")


def outcomes_of(entries: Iterable[LogEntry]) -> Outcomes:
    """The answer that entries hold."""
    return [(str(entry.status), entry.action, entry.outcome) for entry in entries]


def pack_outcomes(outcomes: Iterable[Sequence[Any]]) -> bytes:
    """The answer of an action request as its stored result, once its entries are gone."""
    return pack({"outcomes": [list(outcome) for outcome in outcomes]})


def unpack_outcomes(request: StoredRequest, result: bytes) -> Outcomes:
    """The inverse; ``ValueError`` for the stored result of anything but an action request."""
    answer = unpack(result)
    if not isinstance(answer, Mapping) or "outcomes" not in answer:
        raise ValueError(f"request {request.request_id!r} of run {request.run_key} is not one of actions")
    return [(status, action, outcome) for status, action, outcome in answer["outcomes"]]
