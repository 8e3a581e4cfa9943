"""Ports of the durable side. Every adapter passes the contract suite in ``tests/contract``.

One store implements all of them, because one transaction spans them: an append is atomic with the
archive values the model recorded, the run's row, its events and the request it answers.

Writes resolve only when they are durable. They are applied in the order they were submitted and may be
committed together. A write that fails leaves nothing of itself behind. What is checked, in order: the run
exists, the writer's epoch and head are current, the request is new. Entries carry the epoch of their append.

Errors (all in ``worker.errors``): ``FencedError`` when epoch or head are not what the writer believes,
``DuplicateRequestError`` when the request is already recorded, ``LogUnavailableError`` when the disk or the
database refuse (its ``applied`` is "no" where neither this write nor an earlier one that failed can come back
after a crash, else "unknown"), ``RequestError(RUN_NOT_FOUND)`` where a run is named that does not exist.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from protocol.entities import RunStatus
from protocol.events import EventKind
from worker.log.outbox import Outbox
from worker.log.searching import Searches
from worker.runs.history import NEVER, PAGE_BYTES, LogEntry, Replayable
from worker.runs.profile import RunProfile, StatusChange, Usage
from worker.runs.query import RunQuery
from worker.runs.record import RunRecord
from worker.waiting import Done

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something to tell of a run. ``body``: msgpack map of at most 10 keys; ``at_us``: when it happened."""

    kind: EventKind
    at_us: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its number in its run, from 1 without holes, as the store gave it."""

    run_key: str
    event: int
    kind: EventKind
    at_us: int
    body: bytes


EventListener = Callable[[StoredEvent], None]


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A state-changing request that took effect, so that a repetition is answered and not applied.

    ``digest``: 16 bytes over the request's meaning. The answer is ``result`` (msgpack) where given, else the
    outcomes of the entries ``first_seq`` to ``last_seq`` of ``run_key``.
    """

    request_id: str
    run_key: str
    digest: bytes
    first_seq: int = 0
    last_seq: int = 0
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Entries to add behind ``head_seq``, with all that must become durable with them.

    ``records``: archive values (msgpack bytes) by name, overwriting. ``at_us`` becomes the run's
    ``last_operated_us`` and ``last_modified_us``. ``changes`` of the run's status apply in order; ``usage`` is added
    to what its actions took. ``traces``: JSON texts by the numbers of entries.
    """

    run_key: str
    epoch: int
    head_seq: int
    entries: tuple[LogEntry, ...]
    at_us: int
    records: Mapping[str, bytes] = field(default_factory=dict)
    request: StoredRequest | None = None
    events: tuple[NewEvent, ...] = ()
    changes: tuple[StatusChange, ...] = ()
    usage: Usage | None = None
    traces: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """What has one run at most: a world of a project, or without a ``world_key`` the project as a whole."""

    project: str
    world_key: str = ""


@dataclass(frozen=True, slots=True)
class Creation:
    """A new run: its row (``seq`` = last entry), history, archive, metadata, events and the request it answers.

    ``binding``: what the run is bound to from its first moment. ``profile``: None for a run that says nothing of
    itself (``default_profile``). A run whose profile's status is ``created`` may have no entries yet.
    """

    run: RunRecord
    entries: tuple[LogEntry, ...]
    records: Mapping[str, bytes] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    request: StoredRequest | None = None
    events: tuple[NewEvent, ...] = ()
    binding: Binding | None = None
    profile: RunProfile | None = None


@dataclass(frozen=True, slots=True)
class Rewind:
    """Take back all entries after ``to_seq`` (at least 1) and replace the archive by ``records``.

    ``marker`` is the rewind entry, its seq ``head_seq + 1``: it is appended, and every entry between
    ``to_seq`` and it, unless taken back before, gets ``rewound_by = marker.seq``. With ``marker`` None
    (a destructible rewind) the tail is deleted and the head becomes ``to_seq``; requests answered by deleted
    entries keep their answers. ``kept``: entries that follow the marker, for actions of the tail that stay in effect.
    """

    run_key: str
    epoch: int
    head_seq: int
    to_seq: int
    marker: LogEntry | None
    at_us: int
    records: Mapping[str, bytes] = field(default_factory=dict)
    request: StoredRequest | None = None
    events: tuple[NewEvent, ...] = ()
    kept: tuple[LogEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run that a query found, with the values (msgpack) it asked for of those names that have one."""

    run: RunRecord
    variables: Mapping[str, bytes] = field(default_factory=dict)
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    status: RunStatus = RunStatus.READY


@dataclass(frozen=True, slots=True)
class RunPage:
    """The part of what a query found that it asked for, and how many runs match in all."""

    total: int
    found: tuple[FoundRun, ...]


class EventLog(Protocol):
    """What is told of runs. Events of any write are numbered and made durable with it, or not at all."""

    def listen(self, listener: EventListener) -> None:
        """Have ``listener`` called with every event once it is durable, in the order of the numbers.

        It is called on the loop, before the write that the event belongs to returns, whether or not anybody
        still waits for that write. It must not raise. There is one listener; a second replaces it.
        """

    def add_events(self, run_key: str, events: Sequence[NewEvent]) -> Awaitable[None]:
        """Add events that belong to no other write; durable when awaited, submitted when called.

        Awaiting it raises RUN_NOT_FOUND.
        """

    async def read_events(
        self, run_key: str, *, after_event: int = 0, limit: int = 1000, max_bytes: int = 2**63 - 1
    ) -> tuple[list[StoredEvent], int]:
        """Events with a higher number than ``after_event``, in order, and the highest number given so far.

        Those of all writes submitted before are among them, also where nobody waited for the write. They end
        before their bodies together exceed ``max_bytes``, but not before the first one. Nothing and
        0 for an unknown run.
        """


class ActionLog(Protocol):
    """The append-only histories."""

    def submit(self, append: Append, done: Done) -> None:
        """Add entries if epoch and head are as stated; ``done`` is called when they are durable, or are not.

        Never raises; ``done`` may be called before this returns. Appends take effect in the order of submission.
        """

    async def append(self, append: Append) -> None:
        """``submit``, and wait; durable when it returns, raises what ``done`` is told otherwise."""

    async def rewind(self, rewind: Rewind) -> None:
        """Take back a tail; durable when it returns."""

    async def read(
        self, run_key: str, *, after_seq: int = 0, limit: int = 1000, max_bytes: int = PAGE_BYTES
    ) -> list[LogEntry]:
        """Entries with ``seq > after_seq`` in order, rewound ones included; ended as ``read_events`` is."""

    async def read_replayable(
        self, run_key: str, *, after_seq: int = 0, through_seq: int = NEVER, limit: int = 1000
    ) -> list[Replayable]:
        """What a replay applies of entries with ``after_seq < seq <= through_seq``; ends as with PAGE_BYTES."""

    async def read_traces(
        self, run_key: str, *, after_seq: int = 0, limit: int = 1000, max_bytes: int = 2**63 - 1
    ) -> list[str]:
        """Traces of entries with ``seq > after_seq`` in order, as JSON text; ended as ``read_events`` is."""

    def find_request(self, request_id: str) -> list[StoredRequest]:
        """What is recorded under a request id, one per run key.

        It must answer without waiting (an indexed point look-up), because it stands between every
        state-changing request and its action.
        """

    async def read_outcomes(self, request: StoredRequest) -> list[tuple[str, bytes, bytes]]:
        """The answer of an action request, in order: ``(status, action, outcome)`` of its entries."""


class RunDirectory(Protocol):
    """The runs themselves."""

    async def create(self, creation: Creation) -> None:
        """Add a run; durable when it returns.

        Raises FencedError where its binding, or the id of its profile, has another run by now.
        """

    async def get(self, run_key: str) -> RunRecord | None:
        """The run's row, or None."""

    async def claim(self, run_key: str) -> RunRecord:
        """Become the run's only writer: raise its epoch by one, durably, and return the row.

        Raises RUN_NOT_FOUND.
        """

    async def update(
        self,
        run_key: str,
        edit: Callable[[RunRecord], RunRecord],
        request: StoredRequest | None = None,
        render: Callable[[RunRecord], bytes] | None = None,
        tell: Callable[[RunRecord, RunRecord], Sequence[NewEvent]] | None = None,
    ) -> RunRecord:
        """Change attributes atomically.

        ``edit`` gets the current row and returns the new one (key, seq, epoch, seed and project must stay). With
        ``request``, it is stored with ``render(new row)`` as its result. ``tell(old row, new row)`` gives the
        events of it. All run on the store's thread, perhaps twice, and must be pure. An edit that closes the run
        has its profile finish with ``closed``. Raises RUN_NOT_FOUND and whatever ``edit`` raises.
        """

    async def remove(self, run_key: str, request: StoredRequest | None = None) -> None:
        """Delete a run with everything that belongs to it, its requests included; idempotent.

        ``request`` is stored with its result; its ``run_key`` is "", so that it outlives the run.
        """

    async def count(self) -> int:
        """How many runs there are."""

    async def query(self, query: RunQuery) -> RunPage:
        """The runs that match, as they are at one moment; never waits for other reads, nor holds them up."""


class Bindings(Protocol):
    """Which runs are shared by name. A binding counts while its run is neither closed nor hidden."""

    async def bound_run(self, binding: Binding) -> str | None:
        """The key of the run that is bound, or None."""

    async def bind(
        self,
        binding: Binding,
        run_key: str,
        edit: Callable[[RunRecord], RunRecord],
        request: StoredRequest,
    ) -> RunRecord:
        """Bind a run instead of whatever is bound, and edit its row; the request is stored with its result.

        ``edit`` as for ``update``. Returns the new row. Raises RUN_NOT_FOUND, and RUN_CLOSED or INVALID_REQUEST
        for a run that is closed or hidden, with which a binding would not count.
        """

    async def unbind(self, binding: Binding, request: StoredRequest | None = None) -> None:
        """Bind nothing; the request is stored with its result. Its ``run_key`` may be "" where there is no run."""


class Archive(Protocol):
    """What can be read of a run without its process."""

    async def read_variables(self, run_key: str, names: Sequence[str] | None = None) -> dict[str, bytes]:
        """The recorded values (msgpack) of those names that have one; None means all."""

    async def read_metadata(self, run_key: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        """The metadata of those names that have some; None means all."""

    async def update_metadata(
        self,
        run_key: str,
        edit: Callable[[dict[str, Any]], dict[str, Any]],
        request: StoredRequest | None = None,
        *,
        at_us: int,
        tell: Callable[[dict[str, Any]], Sequence[NewEvent]] | None = None,
    ) -> dict[str, Any]:
        """Change metadata atomically.

        ``edit`` gets the current map and returns the changed names with their new values, which are stored
        and returned; with ``request``, also as its result; ``tell`` makes events of them. Both are pure and run
        on the store's thread, perhaps twice. Raises RUN_NOT_FOUND and whatever ``edit`` raises.
        """


class Profiles(Protocol):
    """What makes runs findable, and their durable status. Every run has a profile."""

    async def read_profile(self, run_key: str) -> RunProfile | None:
        """The profile of a run, or None; with what was submitted before."""

    async def find_run_id(self, project: str, run_id: str) -> str | None:
        """The key of the run that has an id in a project, or None."""

    async def update_profile(
        self,
        run_key: str,
        edit: Callable[[RunProfile], RunProfile],
        request: StoredRequest | None = None,
        render: Callable[[RunProfile], bytes] | None = None,
        tell: Callable[[RunProfile, RunProfile], Sequence[NewEvent]] | None = None,
        *,
        at_us: int | None,
    ) -> RunProfile:
        """Change a profile atomically; its status, ids and project must stay.

        ``edit``, ``request``, ``render`` and ``tell`` as for ``RunDirectory.update``. ``at_us`` becomes the run's
        ``last_modified_us``; None for what nobody would call a change.
        """

    def change_status(
        self, run_key: str, *changes: StatusChange, request: StoredRequest | None = None
    ) -> Awaitable[RunProfile]:
        """Change the status of a run, in order; submitted when called, durable when awaited, and told with it.

        ``request`` is stored with its result. The last ``at_us`` becomes the run's ``last_modified_us``. Awaiting it
        raises RUN_NOT_FOUND; IllegalStatusError where a change may not follow, and then none was made.
        """

    async def unfinished(self) -> list[str]:
        """The keys of runs that are created, starting or executing, oldest first."""

    async def take_expired(self, at_us: int, limit: int) -> list[str]:
        """The keys of at most ``limit`` runs that nothing changed for their ``ttl_seconds``, the first to end first.

        ``expires_us`` of a run that something changed meanwhile moves.
        """

    async def next_expiry(self) -> int | None:
        """When to look for such runs at the earliest, in microseconds since 1970; None where none has an end."""


class Store(ActionLog, EventLog, RunDirectory, Bindings, Archive, Profiles, Searches, Protocol):
    """All ports over one transaction domain."""

    @property
    def outbox(self) -> Outbox:
        """What is to be told of statuses."""

    @property
    def pending_writes(self) -> int:
        """Writes submitted and not yet durable."""

    @property
    def in_outage(self) -> bool:
        """Whether writes are refused by disk or database, as far as is known; ``check`` finds out."""

    def health(self) -> dict[str, Any]:
        """What is wrong with disk or database, for people: ``outage`` and ``read_failures``, where there are any.

        Each has ``since``, ``message`` and ``count``.
        """

    async def check(self) -> None:
        """Return at once unless there is an outage, else when a write has reached the disk.

        Ask it before something is done that a refused write would undo. Raises LogUnavailableError.
        """

    async def close(self) -> None:
        """Finish submitted writes, release files and locks; idempotent."""
