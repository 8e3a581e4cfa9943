"""The words of a run's life cycle: states, the work a request asks for, stimuli, effects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worker.channel import unpack
from worker.errors import WorkerError
from worker.runs.approvals import Decision, Pending
from worker.runs.guards import Condition, GuardViolation, judge_current
from worker.runs.history import EntryKind, OutcomeStatus
from worker.runs.outcomes import Outcome
from worker.runs.profile import StatusChange


class ProcessState(StrEnum):
    """What the process of one incarnation is doing; private to the worker."""

    COLD = "cold"
    BOOTING = "booting"
    REPLAYING = "replaying"
    IDLE = "idle"
    BUSY = "busy"
    APPENDING = "appending"
    STOPPING = "stopping"


class Origin(StrEnum):
    """Why an incarnation is started; what must happen between its boot and its first request."""

    CREATE = "create"
    RESTORE = "restore"
    REWIND = "rewind"
    CLONE = "clone"
    RECAST = "recast"
    """A restore under another execution context, which the run keeps."""

    @property
    def replays(self) -> bool:
        """Whether a history is applied first."""
        return self is not Origin.CREATE

    @property
    def commits(self) -> bool:
        """Whether something must become durable before the run may be used."""
        return self is not Origin.RESTORE


class Cause(StrEnum):
    """Who had something done."""

    INITIAL = "initial"
    """The run itself: it was started with this to do."""
    CALL = "call"
    APPROVAL = "approval"
    """Somebody asked, and somebody approved."""


class StepKind(StrEnum):
    """What one step of a request asks of the process."""

    EXECUTE = "execute"
    SET = "set"
    GET = "get"
    READ = "read"


_ENTRY_KINDS: Final = {StepKind.EXECUTE: EntryKind.EXECUTE, StepKind.SET: EntryKind.SET}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to ask of the process. ``action``: canonical action bytes (empty for READ).

    ``names`` and ``ignorable`` belong to READ. ``timeout_seconds`` is the operation's own limit. A guard's
    ``refusal`` is the step's outcome. ``conditions`` are judged by the values that the step before it, which
    ``is_look``, has read; a look is no step of the request. ``actor``: who asks, where it is more than the request's
    own: with an approval. ``result_schema``: msgpack of what the result must fit. ``is_result``: its value becomes the
    run's result.
    """

    kind: StepKind
    name: str
    action: bytes
    timeout_seconds: float
    inert: bool = False
    names: tuple[str, ...] = ()
    ignorable: bool = False
    refusal: GuardViolation | None = None
    conditions: tuple[Condition, ...] = ()
    is_look: bool = False
    actor: bytes | None = None
    result_schema: bytes | None = None
    is_result: bool = False

    @property
    def recorded(self) -> bool:
        """Whether the step belongs to the history: it may change state."""
        return self.kind is StepKind.SET or (self.kind is StepKind.EXECUTE and not self.inert)

    @property
    def may_call(self) -> bool:
        """Whether external functions may be called by it; reading calls nobody."""
        return self.kind in _ENTRY_KINDS

    @property
    def carries(self) -> bool:
        """Whether its result is a map that only carries the values asked for."""
        return self.kind is StepKind.READ

    @property
    def entry_kind(self) -> EntryKind:
        """The kind of entry that records this step."""
        return _ENTRY_KINDS[self.kind]


@dataclass(slots=True, eq=False)
class Work:
    """A request to the process: steps performed in order, up to the first error, then made durable as one.

    No steps: the request only needs the run in memory (create, restore, rewind, clone), or only its end.
    ``ends``: the run is evicted afterwards, whatever came of the steps. ``begun``: the incarnation itself was
    started for it, so that its effect cannot be taken back by no longer waiting. ``outcomes`` grows as steps
    are done. ``why``: what the caller says of it, for traces, and ``cause``: who had it done. ``asked_us``: when the
    host got it; ``first_seq``: the number of its first entry, 0 before there is one. ``outcome_bytes``: what its
    outcomes carry.
    ``taken_back``: the answer where what was done must be undone, which ends the process; ``pending``: what
    becomes durable before that, as the request waits for approval. ``approvals``: the decisions on actions of the
    request, by place. ``changes`` of the run's status become durable with what was done.
    """

    request_id: str
    steps: tuple[Step, ...] = ()
    actor: bytes | None = None
    digest: bytes = b""
    ends: bool = False
    begun: bool = False
    why: str | None = None
    cause: Cause = Cause.CALL
    asked_us: int = 0
    first_seq: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    outcome_bytes: int = 0
    taken_back: WorkerError | None = None
    pending: Pending | None = None
    approvals: Mapping[int, Decision] = field(default_factory=dict)
    changes: tuple[StatusChange, ...] = ()

    @property
    def place(self) -> int:
        """Which action of the request is the next one, from 0."""
        return sum(not step.is_look for step in self.steps[: len(self.outcomes)])

    @property
    def recorded_steps(self) -> int:
        """How many entries what was done makes."""
        return sum(
            step.recorded and outcome.recorded
            for step, outcome in zip(self.steps, self.outcomes, strict=False)
        )

    def actor_of(self, step: Step) -> bytes | None:
        """Who asks for a step, as it is recorded."""
        return step.actor or self.actor

    @property
    def finished(self) -> bool:
        """Whether no further step is to be performed."""
        done = len(self.outcomes)
        if done == len(self.steps):
            return True
        return (
            done > 0 and self.outcomes[-1].status is OutcomeStatus.ERROR and not self.steps[done - 1].is_look
        )

    def refuse_next(self) -> bool:
        """Whether a guard does not let the next step through; its outcome is that, then."""
        step, last = self.steps[len(self.outcomes)], self.outcomes[-1]
        violation = step.refusal
        if violation is None and step.conditions:
            is_read = last.status is OutcomeStatus.COMPLETED
            violation = judge_current(step.conditions, unpack(last.value) if is_read else None)
        if violation is not None:
            self.outcomes.append(Outcome.refused(violation, last.at_us))
        return violation is not None

    @property
    def leaves_trace(self) -> bool:
        """Whether something of what was done belongs to the history."""
        return self.recorded_steps > 0


# --- stimuli --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Requested:
    """A request arrived for this run."""

    work: Work


@dataclass(frozen=True, slots=True)
class Expired:
    """The caller of ``work`` waits no longer; it is dropped if its turn has not come."""

    work: Work


@dataclass(frozen=True, slots=True)
class Booted:
    """The process has loaded the model."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The process has applied the history and repeated every outcome."""


@dataclass(frozen=True, slots=True)
class Performed:
    """The process has done the step it was sent."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Appended:
    """What was to become durable is durable."""


@dataclass(frozen=True, slots=True)
class AppendFailed:
    """It is not durable, or nobody knows; the process is ahead of its log."""

    error: WorkerError


@dataclass(frozen=True, slots=True)
class Lost:
    """The process is of no use any more: it ended, failed to boot or replay, broke a limit or a rule."""

    error: WorkerError


@dataclass(frozen=True, slots=True)
class EvictAsked:
    """The run shall leave memory as soon as the current request is done."""

    reason: str


@dataclass(frozen=True, slots=True)
class IdleExpired:
    """Nobody asked anything of the run for its session timeout."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The process is gone and reaped."""


Stimulus = (
    Requested
    | Expired
    | Booted
    | Replayed
    | Performed
    | Appended
    | AppendFailed
    | Lost
    | EvictAsked
    | IdleExpired
    | Stopped
)


# --- effects --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Boot:
    """Start a process and have it load the model."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Stream the history into the process and compare outcomes."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Make durable what this incarnation begins with (a new run, a clone, a rewind)."""


@dataclass(frozen=True, slots=True)
class Send:
    """Ask the process for the next step of ``work``, under that step's time limit."""

    work: Work
    step: Step


@dataclass(frozen=True, slots=True)
class Append:
    """Make the recorded outcomes of ``work`` durable, all or none."""

    work: Work


@dataclass(frozen=True, slots=True)
class Pause:
    """Make durable that ``work`` waits for approval; answered as ``Append`` is. What it did is undone."""

    work: Work


@dataclass(frozen=True, slots=True)
class Resolve:
    """Answer ``work`` from its outcomes."""

    work: Work


@dataclass(frozen=True, slots=True)
class Reject:
    """Answer ``work`` with an error."""

    work: Work
    error: WorkerError


@dataclass(frozen=True, slots=True)
class Reroute:
    """Hand ``work`` back: this incarnation ended before it began; it has had no effect."""

    work: Work


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process; answered by ``Stopped``.

    ``orderly``: it is at rest and all it did is durable, so the model may be told (onTerminating).
    """

    reason: str
    orderly: bool = False


@dataclass(frozen=True, slots=True)
class Rested:
    """Nothing to do: start the session timeout. Any later effect ends it."""


@dataclass(frozen=True, slots=True)
class Released:
    """The incarnation is over; nothing of it remains. ``lost``: it ended by a failure, nobody asked for it."""

    reason: str
    lost: bool


Effect = (
    Boot | Replay | Commit | Send | Append | Pause | Resolve | Reject | Reroute | Stop | Rested | Released
)
