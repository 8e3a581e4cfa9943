"""The life cycle under any order of events: a small shell of a process and a log drives it."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.errors import ErrorCode
from worker.errors import LogUnavailableError, RunLostError, WorkerError
from worker.runs.approvals import Pending
from worker.runs.history import OutcomeStatus
from worker.runs.lifecycle import IllegalTransitionError, Run
from worker.runs.outcomes import Outcome
from worker.runs.stimuli import (
    Append,
    Appended,
    AppendFailed,
    Boot,
    Booted,
    Commit,
    Effect,
    EvictAsked,
    Expired,
    IdleExpired,
    Lost,
    Origin,
    Pause,
    Performed,
    ProcessState,
    Reject,
    Released,
    Replay,
    Replayed,
    Requested,
    Reroute,
    Resolve,
    Rested,
    Send,
    Step,
    StepKind,
    Stimulus,
    Stop,
    Stopped,
    Work,
)

STEPS = st.sampled_from(
    (
        Step(StepKind.EXECUTE, "change", b"a", 60.0),
        Step(StepKind.EXECUTE, "look", b"a", 60.0, inert=True),
        Step(StepKind.SET, "x", b"a", 60.0),
        Step(StepKind.GET, "x", b"a", 60.0),
        Step(StepKind.READ, "x", b"", 60.0, names=("x",)),
    )
)
OUTCOMES = st.sampled_from(
    (
        Outcome(OutcomeStatus.COMPLETED, b"\xc0", 1),
        Outcome(OutcomeStatus.ERROR, b"\x80", 1, error_code=ErrorCode.OPERATION_FAILED),
        Outcome(OutcomeStatus.ERROR, b"\x80", 1, error_code=ErrorCode.UNKNOWN_OPERATION),
    )
)
EXITED = RunLostError(ErrorCode.PROCESS_EXITED, "the process ended", applied="no")
INBOX_LIMIT = 3
RARELY = st.sampled_from((False, False, False, False, True))


class Shell(RuleBasedStateMachine):
    """A process that boots, performs or dies, and a log that writes or refuses; what a host would do."""

    @initialize(origin=st.sampled_from(tuple(Origin)), steps=st.lists(STEPS, max_size=3), ends=st.booleans())
    def begin(self, origin: Origin, steps: list[Step], ends: bool) -> None:
        self.run = Run(origin, inbox_limit=INBOX_LIMIT)
        self.works: list[Work] = []
        self.answers: dict[Work, Effect] = {}
        self.entries: list[tuple[int, int]] = []
        self.committed = False
        self.booting = self.replaying = self.rested = self.stopping = self.gone = self.released = False
        self.sent: Work | None = None
        self.writing: Append | Commit | Pause | None = None
        self.paused: list[Work] = []
        # What an incarnation is started for, where it begins with a write, is the request it answers so.
        self.submit(Work("0", (), begun=True) if origin.commits else Work("0", tuple(steps), ends=ends))

    # Executing effects

    def feed(self, stimulus: Stimulus) -> None:
        effects = self.run.handle(stimulus)
        self.rested = self.rested and not effects
        for position, effect in enumerate(effects):
            if self.released:
                assert isinstance(effect, Reroute), f"{effect} after the release"
            self.execute(effect, effects[position + 1 :])

    def execute(self, effect: Effect, later: list[Effect]) -> None:
        match effect:
            case Boot():
                self.booting = True
            case Replay():
                self.replaying = True
            case Commit():
                assert self.writing is None
                self.writing = effect
            case Append(work):
                assert self.writing is None
                assert work.finished
                assert work.leaves_trace
                self.writing = effect
            case Pause(work):
                assert self.writing is None
                assert work.pending is not None
                self.writing = effect
            case Send(work, step):
                assert self.sent is None
                assert self.writing is None
                assert step is work.steps[len(work.outcomes)]
                self.sent = work
            case Resolve() | Reject() | Reroute():
                self.answer(effect)
            case Stop():
                assert not self.stopping
                self.stopping, self.sent = True, None
            case Rested():
                assert later == []
                self.rested = True
            case Released():
                assert self.stopping
                assert self.gone
                assert self.writing is None
                self.released = True

    def answer(self, effect: Resolve | Reject | Reroute) -> None:
        work = effect.work
        assert work not in self.answers, f"{work} is answered twice"
        self.answers[work] = effect
        recorded = any(self.works[index] is work for index, _ in self.entries)
        if isinstance(effect, Resolve):
            assert work.taken_back is None
            assert work.finished
            assert recorded == work.leaves_trace, "answered, and not in the log"
            assert not (work.ends and not self.gone), "the run was not ended yet"
        else:
            assert not recorded, "in the log, and refused"
            is_written = isinstance(self.writing, Append | Pause) and self.writing.work is work
            assert not is_written, "refused too early"
            if isinstance(effect, Reject) and effect.error.code is ErrorCode.PENDING_APPROVAL:
                assert work in self.paused, "told that it waits, and it does not"
        if isinstance(effect, Reroute):
            assert work.outcomes == []

    # What the world does

    def submit(self, work: Work) -> None:
        self.works.append(work)
        self.feed(Requested(work))

    @precondition(lambda self: not self.released)
    @rule(steps=st.lists(STEPS, max_size=3), ends=st.booleans())
    def ask(self, steps: list[Step], ends: bool) -> None:
        self.submit(Work(str(len(self.works)), tuple(steps), ends=ends))

    @precondition(lambda self: not self.released)
    @rule()
    def ask_to_be_there(self) -> None:
        self.submit(Work(str(len(self.works)), (), begun=True))

    @precondition(lambda self: self.sent or self.writing or (not self.stopping and self.comes_up))
    @rule(outcome=OUTCOMES)
    def go_on(self, outcome: Outcome) -> None:
        """The one thing that is under way, if all is well, is done."""
        if self.writing is not None:
            self.write()
        elif self.sent is not None:
            self.sent = None
            self.feed(Performed(outcome))
        elif self.booting:
            self.booting = False
            self.feed(Booted())
        else:
            self.replaying = False
            self.feed(Replayed())

    @precondition(lambda self: self.sent or self.writing or (not self.stopping and self.comes_up))
    @rule(outcome=OUTCOMES)
    def go_on_quickly(self, outcome: Outcome) -> None:
        """Twice as likely as any trouble, so that runs get to where trouble is interesting."""
        self.go_on(outcome)

    @precondition(lambda self: self.sent is not None)
    @rule(waits=st.booleans(), outcome=OUTCOMES)
    def take_back(self, waits: bool, outcome: Outcome) -> None:
        """A step is done, and must not have been: it waits for approval, or its result is not as it must be."""
        work = self.sent
        assert work is not None
        code = ErrorCode.PENDING_APPROVAL if waits else ErrorCode.RESULT_INVALID
        work.taken_back = WorkerError(code, "taken back", applied="no")
        if waits:
            work.pending = Pending("2", work.request_id, b"", None, ({"kind": "execute", "name": "x"},), 0, 1)
        self.sent = None
        self.feed(Performed(outcome))

    @property
    def comes_up(self) -> bool:
        return self.booting or self.replaying

    def write(self) -> None:
        if isinstance(self.writing, Append):
            work = self.writing.work
            index = next(index for index, one in enumerate(self.works) if one is work)
            self.entries += [(index, step) for step in range(len(work.outcomes))]
        elif isinstance(self.writing, Pause):
            self.paused.append(self.writing.work)
        else:
            self.committed = True
        self.writing = None
        self.feed(Appended())

    @precondition(lambda self: self.writing is not None)
    @rule()
    def refuse(self) -> None:
        self.writing = None
        self.feed(AppendFailed(LogUnavailableError("the disk is full")))

    @precondition(lambda self: not self.released)
    @rule(bad_luck=RARELY)
    def die(self, bad_luck: bool) -> None:
        if bad_luck:
            self.feed(Lost(EXITED))

    @precondition(lambda self: not self.released)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        work = data.draw(st.sampled_from(self.works))
        was_performed = bool(work.outcomes) or work is self.run.current
        answered = self.answers.get(work)
        self.feed(Expired(work))
        if was_performed or work.begun or answered is not None:
            assert self.answers.get(work) is answered, "what has begun cannot be taken back"

    @precondition(lambda self: not self.released)
    @rule(asked=RARELY)
    def evict(self, asked: bool) -> None:
        if asked:
            self.feed(EvictAsked("asked"))

    @precondition(lambda self: self.rested)
    @rule(asked=RARELY)
    def rest_too_long(self, asked: bool) -> None:
        if asked:
            self.feed(IdleExpired())

    @precondition(lambda self: self.stopping and not self.gone)
    @rule()
    def reap(self) -> None:
        self.gone = True
        self.feed(Stopped())

    @precondition(lambda self: self.released)
    @rule(late=st.sampled_from((Booted(), Appended(), Stopped(), EvictAsked("late"), Lost(EXITED))))
    def come_again(self, late: Stimulus) -> None:
        """An incarnation that is over takes nothing; what it handed back goes to the next one."""
        with pytest.raises(IllegalTransitionError):
            self.run.handle(late)
        assert set(self.answers) == set(self.works)
        handed_back = [work for work in self.works if isinstance(self.answers[work], Reroute)]
        self.begin(Origin.RESTORE, [], ends=False)
        for work in handed_back:
            self.submit(replace(work, outcomes=[], begun=False))

    # What always holds

    @invariant()
    def it_rests_only_when_nothing_waits(self) -> None:
        assert self.rested == (self.run.state is ProcessState.IDLE)
        assert not (self.rested and self.run.queued)

    @invariant()
    def it_is_sent_to_only_while_busy(self) -> None:
        assert (self.sent is not None) == (self.run.state is ProcessState.BUSY)

    @invariant()
    def the_inbox_is_bounded(self) -> None:
        assert self.run.queued <= INBOX_LIMIT

    @invariant()
    def entries_stand_in_the_order_of_arrival(self) -> None:
        assert self.entries == sorted(set(self.entries))

    @invariant()
    def nothing_is_recorded_before_what_it_stands_on(self) -> None:
        assert self.committed or not self.entries or not self.run.origin.commits

    @invariant()
    def only_an_inbox_that_was_full_refuses(self) -> None:
        for answer in self.answers.values():
            if isinstance(answer, Reject):
                assert answer.error.code in {
                    ErrorCode.CAPACITY,
                    ErrorCode.DEADLINE_EXCEEDED,
                    ErrorCode.PROCESS_EXITED,
                    ErrorCode.LOG_UNAVAILABLE,
                    ErrorCode.PENDING_APPROVAL,
                    ErrorCode.RESULT_INVALID,
                }

    def teardown(self) -> None:
        """Let everything come to its end: every request has got exactly one answer by then."""
        if not hasattr(self, "run"):
            return
        if not self.released and not self.stopping:
            self.feed(Lost(EXITED))
        if self.writing is not None:
            self.write()
        if not self.gone:
            self.reap()
        assert self.released
        assert set(self.answers) == set(self.works)


TestLifecycle = Shell.TestCase
TestLifecycle.settings = settings(
    max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
