"""The life cycle of one incarnation: for every state and stimulus, the effects and their order."""

import pytest

from protocol.errors import ErrorCode
from worker.errors import LogUnavailableError, RequestError, RunLostError, WorkerError
from worker.runs.approvals import Pending
from worker.runs.history import OutcomeStatus
from worker.runs.lifecycle import TAKEN_BACK, TRANSITIONS, IllegalTransitionError, Run
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

EXITED = RunLostError(ErrorCode.PROCESS_EXITED, "the process ended", applied="no")
REFUSED = LogUnavailableError("the disk is full")
DONE = Outcome(OutcomeStatus.COMPLETED, b"\xc0", 1)
RAISED = Outcome(OutcomeStatus.ERROR, b"\x80", 1, error_code=ErrorCode.OPERATION_FAILED)
UNKNOWN = Outcome(OutcomeStatus.ERROR, b"\x80", 1, error_code=ErrorCode.UNKNOWN_OPERATION)


def change(*, inert: bool = False) -> Step:
    return Step(StepKind.EXECUTE, "step", b"action", 60.0, inert=inert)


def read() -> Step:
    return Step(StepKind.READ, "x", b"", 60.0, names=("x",))


def work(*steps: Step, ends: bool = False, begun: bool = False) -> Work:
    return Work("request", steps or (change(),), ends=ends, begun=begun)


def presence(*, ends: bool = False, begun: bool = False) -> Work:
    """Work that only needs the run in memory, or only its end."""
    return Work("request", (), ends=ends, begun=begun)


def play(run: Run, *stimuli: Stimulus) -> list[Effect]:
    """Give the stimuli one by one; the effects of the last."""
    effects: list[Effect] = []
    for stimulus in stimuli:
        effects = run.handle(stimulus)
    return effects


def restored(*first: Work, inbox_limit: int = 8) -> Run:
    """A run that came up from its history and serves ``first``, or rests."""
    run = Run(Origin.RESTORE, inbox_limit=inbox_limit)
    play(run, *(Requested(one) for one in first or (presence(),)), Booted(), Replayed())
    return run


def in_state(state: ProcessState) -> Run:
    """A run that was led into a state by the shortest path there."""
    run = Run(Origin.RESTORE, inbox_limit=8)
    path: dict[ProcessState, tuple[Stimulus, ...]] = {
        ProcessState.COLD: (),
        ProcessState.BOOTING: (Requested(presence()),),
        ProcessState.REPLAYING: (Requested(presence()), Booted()),
        ProcessState.IDLE: (Requested(presence()), Booted(), Replayed()),
        ProcessState.BUSY: (Requested(work()), Booted(), Replayed()),
        ProcessState.APPENDING: (Requested(work()), Booted(), Replayed(), Performed(DONE)),
        ProcessState.STOPPING: (Requested(work()), Booted(), Replayed(), Performed(DONE), Lost(EXITED)),
    }
    play(run, *path[state])
    assert run.state is state
    return run


def summary(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


# The table

STIMULI: dict[type[Stimulus], Stimulus] = {
    type(one): one
    for one in (
        Requested(work()),
        Expired(work()),
        Booted(),
        Replayed(),
        Performed(DONE),
        Appended(),
        AppendFailed(REFUSED),
        Lost(EXITED),
        EvictAsked("asked"),
        IdleExpired(),
        Stopped(),
    )
}
S = ProcessState

# By state (as ``in_state`` makes it) and stimulus: the state after it, and the effects in order.
EXPECTED: dict[tuple[ProcessState, type[Stimulus]], tuple[ProcessState, list[str]]] = {
    (S.COLD, Requested): (S.BOOTING, ["Boot"]),
    (S.BOOTING, Requested): (S.BOOTING, []),
    (S.BOOTING, Expired): (S.BOOTING, []),
    (S.BOOTING, Booted): (S.REPLAYING, ["Replay"]),
    (S.BOOTING, Lost): (S.STOPPING, ["Reject", "Stop"]),
    (S.BOOTING, EvictAsked): (S.BOOTING, []),
    (S.REPLAYING, Requested): (S.REPLAYING, []),
    (S.REPLAYING, Expired): (S.REPLAYING, []),
    (S.REPLAYING, Replayed): (S.IDLE, ["Resolve", "Rested"]),
    (S.REPLAYING, Lost): (S.STOPPING, ["Reject", "Stop"]),
    (S.REPLAYING, EvictAsked): (S.REPLAYING, []),
    (S.IDLE, Requested): (S.BUSY, ["Send"]),
    (S.IDLE, Expired): (S.IDLE, []),
    (S.IDLE, Lost): (S.STOPPING, ["Stop"]),
    (S.IDLE, EvictAsked): (S.STOPPING, ["Stop"]),
    (S.IDLE, IdleExpired): (S.STOPPING, ["Stop"]),
    (S.BUSY, Requested): (S.BUSY, []),
    (S.BUSY, Expired): (S.BUSY, []),
    (S.BUSY, Performed): (S.APPENDING, ["Append"]),
    (S.BUSY, Lost): (S.STOPPING, ["Reject", "Stop"]),
    (S.BUSY, EvictAsked): (S.BUSY, []),
    (S.APPENDING, Requested): (S.APPENDING, []),
    (S.APPENDING, Expired): (S.APPENDING, []),
    (S.APPENDING, Appended): (S.IDLE, ["Resolve", "Rested"]),
    (S.APPENDING, AppendFailed): (S.STOPPING, ["Reject", "Stop"]),
    (S.APPENDING, Lost): (S.STOPPING, ["Stop"]),
    (S.APPENDING, EvictAsked): (S.APPENDING, []),
    (S.STOPPING, Requested): (S.STOPPING, []),
    (S.STOPPING, Expired): (S.STOPPING, []),
    (S.STOPPING, Appended): (S.STOPPING, ["Resolve"]),
    (S.STOPPING, AppendFailed): (S.STOPPING, ["Reject"]),
    (S.STOPPING, Lost): (S.STOPPING, []),
    (S.STOPPING, EvictAsked): (S.STOPPING, []),
    (S.STOPPING, Stopped): (S.STOPPING, []),
}


def test_the_expectations_cover_the_table() -> None:
    assert set(EXPECTED) == set(TRANSITIONS)
    assert set(STIMULI) == {stimulus for _, stimulus in TRANSITIONS}


@pytest.mark.parametrize(("state", "stimulus"), tuple(EXPECTED))
def test_a_stimulus_that_may_come_has_its_effects(state: ProcessState, stimulus: type[Stimulus]) -> None:
    run = in_state(state)
    effects = run.handle(STIMULI[stimulus])
    assert (run.state, summary(effects)) == EXPECTED[state, stimulus]
    assert run.state in TRANSITIONS[state, stimulus]


@pytest.mark.parametrize(
    ("state", "stimulus"),
    tuple((state, stimulus) for state in S for stimulus in STIMULI if (state, stimulus) not in TRANSITIONS),
)
def test_a_stimulus_that_cannot_come_raises_and_changes_nothing(
    state: ProcessState, stimulus: type[Stimulus]
) -> None:
    run = in_state(state)
    before = (run.state, run.current, run.queued, run.usable, run.came_up)
    with pytest.raises(IllegalTransitionError, match=f"{stimulus.__name__} in state {state}"):
        run.handle(STIMULI[stimulus])
    assert (run.state, run.current, run.queued, run.usable, run.came_up) == before
    # It goes on as if it had not happened.
    follower = next(one for one in STIMULI if (state, one) in TRANSITIONS and one is not Expired)
    assert (run.handle(STIMULI[follower]), run.state)[1] is EXPECTED[state, follower][0]


@pytest.mark.parametrize("stimulus", (Appended(), AppendFailed(REFUSED)))
def test_the_end_of_a_write_that_was_not_begun_is_illegal(stimulus: Stimulus) -> None:
    run = restored()
    play(run, EvictAsked("asked"))
    with pytest.raises(IllegalTransitionError, match="nothing is being written"):
        run.handle(stimulus)
    assert summary(play(run, Stopped())) == ["Released"]


@pytest.mark.parametrize("stimulus", tuple(STIMULI.values()))
def test_an_incarnation_that_is_over_takes_nothing(stimulus: Stimulus) -> None:
    run = restored()
    play(run, EvictAsked("asked"), Stopped())
    with pytest.raises(IllegalTransitionError):
        run.handle(stimulus)


# Coming up


@pytest.mark.parametrize("origin", tuple(Origin))
def test_each_origin_does_what_it_must_before_its_first_request(origin: Origin) -> None:
    run = Run(origin, inbox_limit=8)
    first = presence(begun=True)
    assert run.handle(Requested(first)) == [Boot()]
    replay, commit = {
        Origin.CREATE: (False, True),
        Origin.RESTORE: (True, False),
        Origin.REWIND: (True, True),
        Origin.CLONE: (True, True),
        Origin.RECAST: (True, True),
    }[origin]
    up = run.handle(Booted())
    if replay:
        assert up == [Replay()]
        up = run.handle(Replayed())
    assert not run.usable or not commit
    if commit:
        assert up == [Commit()]
        assert not run.came_up
        up = run.handle(Appended())
    assert up == [Resolve(first), Rested()]
    assert run.usable
    assert run.came_up


def test_requests_that_came_during_the_start_are_served_in_order() -> None:
    first, second, third = presence(begun=True), work(read()), work()
    run = Run(Origin.CREATE, inbox_limit=8)
    play(run, Requested(first), Requested(second), Booted(), Requested(third))
    assert run.handle(Appended()) == [Resolve(first), Send(second, second.steps[0])]
    assert run.handle(Performed(DONE)) == [Resolve(second), Send(third, third.steps[0])]


def test_a_run_asked_to_leave_while_it_starts_finishes_what_it_was_started_for() -> None:
    first, second = presence(begun=True), work()
    run = Run(Origin.CLONE, inbox_limit=8)
    play(run, Requested(first), Requested(second), EvictAsked("drain"), Booted(), Replayed())
    assert run.handle(Appended()) == [Resolve(first), Stop("drain", orderly=True)]
    assert run.handle(Stopped()) == [Released("drain", lost=False), Reroute(second)]


def test_a_run_asked_to_leave_while_it_is_restored_hands_its_requests_back() -> None:
    first = work()
    run = Run(Origin.RESTORE, inbox_limit=8)
    play(run, Requested(first), Booted(), EvictAsked("capacity"))
    assert run.handle(Replayed()) == [Stop("capacity", orderly=True)]
    assert run.handle(Stopped()) == [Released("capacity", lost=False), Reroute(first)]


# One request at a time


def test_one_request_is_performed_at_a_time_and_answered_when_it_is_durable() -> None:
    first, second = work(), work()
    run = restored()
    assert run.handle(Requested(first)) == [Send(first, first.steps[0])]
    assert run.handle(Requested(second)) == []
    assert (run.current, run.queued) == (first, 1)
    assert run.handle(Performed(DONE)) == [Append(first)]
    assert run.handle(Appended()) == [Resolve(first), Send(second, second.steps[0])]
    assert run.handle(Performed(DONE)) == [Append(second)]
    assert run.handle(Appended()) == [Resolve(second), Rested()]
    assert first.outcomes == [DONE]


def test_the_steps_of_a_request_are_performed_in_order_and_recorded_as_one() -> None:
    steps = (change(), read(), change())
    batch = work(*steps)
    run = restored()
    assert run.handle(Requested(batch)) == [Send(batch, steps[0])]
    assert run.handle(Performed(DONE)) == [Send(batch, steps[1])]
    assert run.handle(Performed(DONE)) == [Send(batch, steps[2])]
    assert run.handle(Performed(DONE)) == [Append(batch)]


def test_steps_stop_at_the_first_error_which_is_recorded() -> None:
    batch = work(change(), change(), change())
    run = restored(batch)
    assert run.handle(Performed(DONE)) == [Send(batch, batch.steps[1])]
    assert run.handle(Performed(RAISED)) == [Append(batch)]
    assert run.handle(Appended()) == [Resolve(batch), Rested()]
    assert batch.outcomes == [DONE, RAISED]


@pytest.mark.parametrize(
    ("steps", "outcomes"),
    (
        ((read(),), (DONE,)),
        ((change(inert=True),), (DONE,)),
        ((change(inert=True),), (RAISED,)),
        ((change(),), (UNKNOWN,)),
        ((read(), change()), (DONE, UNKNOWN)),
        ((read(), change()), (UNKNOWN,)),
    ),
)
def test_what_leaves_no_trace_is_answered_without_a_write(
    steps: tuple[Step, ...], outcomes: tuple[Outcome, ...]
) -> None:
    one = work(*steps)
    run = restored(one)
    assert play(run, *map(Performed, outcomes)) == [Resolve(one), Rested()]


def test_an_error_before_the_model_ran_does_not_hide_what_ran_before_it() -> None:
    batch = work(change(), change())
    run = restored(batch)
    assert play(run, Performed(DONE), Performed(UNKNOWN)) == [Append(batch)]


def test_a_set_is_recorded() -> None:
    one = work(Step(StepKind.SET, "x", b"action", 60.0))
    assert play(restored(one), Performed(DONE)) == [Append(one)]


def test_work_that_only_needs_the_run_in_memory_waits_for_what_was_asked_before() -> None:
    first, second = work(), presence()
    run = restored(first)
    assert run.handle(Requested(second)) == []
    run.handle(Performed(DONE))
    assert run.handle(Appended()) == [Resolve(first), Resolve(second), Rested()]


# Ending with the request


@pytest.mark.parametrize("outcome", (DONE, RAISED))
def test_a_ritual_that_ends_the_run_is_answered_when_the_process_is_gone(outcome: Outcome) -> None:
    last, waiting = work(ends=True), work()
    run = restored(last)
    run.handle(Requested(waiting))
    run.handle(Performed(outcome))
    assert run.handle(Appended()) == [Stop("ritual", orderly=True)]
    assert not run.usable
    assert run.handle(Stopped()) == [Resolve(last), Released("ritual", lost=False), Reroute(waiting)]


def test_a_read_that_ends_the_run_is_answered_when_the_process_is_gone() -> None:
    last = work(read(), ends=True)
    run = restored(last)
    assert run.handle(Performed(DONE)) == [Stop("ritual", orderly=True)]
    assert run.handle(Stopped()) == [Resolve(last), Released("ritual", lost=False)]


def test_a_request_for_the_end_waits_its_turn() -> None:
    first, last, late = work(), presence(ends=True), presence(ends=True)
    run = restored(first)
    play(run, Requested(last), Requested(late), Performed(DONE))
    assert run.handle(Appended()) == [Resolve(first), Stop("request", orderly=True)]
    assert run.handle(Stopped()) == [Resolve(last), Released("request", lost=False), Reroute(late)]


def test_a_resting_run_is_ended_at_once() -> None:
    last = presence(ends=True)
    run = restored()
    assert run.handle(Requested(last)) == [Stop("request", orderly=True)]
    assert run.handle(Stopped()) == [Resolve(last), Released("request", lost=False)]


def test_a_ritual_that_ends_the_run_is_not_answered_early_when_the_process_is_lost_meanwhile() -> None:
    last = work(ends=True)
    run = restored(last)
    play(run, Performed(DONE), Lost(EXITED))
    assert run.handle(Appended()) == []
    assert run.handle(Stopped()) == [Resolve(last), Released("PROCESS_EXITED", lost=True)]


def test_a_run_is_ending_from_the_moment_its_end_is_asked_for() -> None:
    run = restored(work())
    stimuli = (Requested(work(ends=True)), Requested(work()), *(Performed(DONE), Appended()) * 2)
    seen = [run.ending]
    for stimulus in stimuli:
        run.handle(stimulus)
        seen.append(run.ending)
    assert seen == [False, *[True] * len(stimuli)]
    assert run.state is ProcessState.STOPPING


def test_a_run_whose_end_was_dropped_goes_on() -> None:
    run, last = restored(work()), work(ends=True)
    play(run, Requested(last), Expired(last))
    seen = [run.ending]
    run.handle(EvictAsked("asked"))
    assert [*seen, run.ending] == [False, True]


# Losing the process


def test_a_process_lost_while_performing_rejects_its_request_and_hands_the_others_back() -> None:
    first, second = work(), work()
    run = restored(first)
    run.handle(Requested(second))
    assert run.handle(Lost(EXITED)) == [Reject(first, EXITED), Stop("PROCESS_EXITED")]
    assert run.handle(Stopped()) == [Released("PROCESS_EXITED", lost=True), Reroute(second)]


def test_a_process_lost_while_idle_concerns_nobody() -> None:
    run = restored()
    assert run.handle(Lost(EXITED)) == [Stop("PROCESS_EXITED")]
    late = work()
    assert run.handle(Requested(late)) == []
    assert run.handle(Stopped()) == [Released("PROCESS_EXITED", lost=True), Reroute(late)]


@pytest.mark.parametrize("booted", (False, True))
def test_a_process_lost_while_it_comes_up_rejects_all_that_wait(booted: bool) -> None:
    first, second = work(), work()
    run = Run(Origin.RESTORE, inbox_limit=8)
    play(run, Requested(first), Requested(second), *([Booted()] if booted else []))
    assert run.handle(Lost(EXITED)) == [Reject(first, EXITED), Reject(second, EXITED), Stop("PROCESS_EXITED")]
    assert run.handle(Stopped()) == [Released("PROCESS_EXITED", lost=True)]
    assert not run.came_up


@pytest.mark.parametrize("stopped_first", (False, True))
@pytest.mark.parametrize("error", (None, REFUSED))
def test_the_log_alone_decides_about_what_a_lost_process_did(
    error: WorkerError | None, stopped_first: bool
) -> None:
    first, second = work(), work()
    run = restored(first)
    play(run, Requested(second), Performed(DONE))
    assert run.handle(Lost(EXITED)) == [Stop("PROCESS_EXITED")]
    verdict = Appended() if error is None else AppendFailed(error)
    answer: Effect = Resolve(first) if error is None else Reject(first, error)
    released = [Released("PROCESS_EXITED", lost=True), Reroute(second)]
    if stopped_first:
        assert run.handle(Stopped()) == []
        assert run.handle(verdict) == [answer, *released]
    else:
        assert run.handle(verdict) == [answer]
        assert run.handle(Stopped()) == released


@pytest.mark.parametrize("stopped_first", (False, True))
@pytest.mark.parametrize("error", (None, REFUSED))
def test_the_log_alone_decides_about_a_commit(error: WorkerError | None, stopped_first: bool) -> None:
    first, second = presence(begun=True), work()
    run = Run(Origin.REWIND, inbox_limit=8)
    play(run, Requested(first), Requested(second), Booted(), Replayed())
    assert run.handle(Lost(EXITED)) == [Stop("PROCESS_EXITED")]
    verdict = Appended() if error is None else AppendFailed(error)
    effects = play(run, *((Stopped(), verdict) if stopped_first else (verdict,)))
    if not stopped_first:
        effects = [*effects, *run.handle(Stopped())]
    answer: Effect = Resolve(first) if error is None else Reject(first, error)
    assert effects == [answer, Released("PROCESS_EXITED", lost=True), Reroute(second)]
    # What became durable exists, although this incarnation never served it.
    assert run.came_up is (error is None)
    assert not run.usable


def test_a_write_that_fails_ends_the_process_because_it_is_ahead_of_its_log() -> None:
    first, second = work(), work()
    run = restored(first)
    play(run, Requested(second), Performed(DONE))
    assert run.handle(AppendFailed(REFUSED)) == [Reject(first, REFUSED), Stop("LOG_UNAVAILABLE")]
    assert run.handle(Stopped()) == [Released("LOG_UNAVAILABLE", lost=True), Reroute(second)]


def test_a_commit_that_fails_rejects_what_it_was_for_and_hands_the_others_back() -> None:
    first, second = presence(begun=True), work()
    run = Run(Origin.REWIND, inbox_limit=8)
    play(run, Requested(first), Requested(second), Booted(), Replayed())
    assert run.handle(AppendFailed(REFUSED)) == [Reject(first, REFUSED), Stop("LOG_UNAVAILABLE")]
    assert run.handle(Stopped()) == [Released("LOG_UNAVAILABLE", lost=True), Reroute(second)]
    assert not run.came_up


def test_a_loss_after_the_end_was_asked_for_is_no_failure() -> None:
    run = restored()
    run.handle(EvictAsked("asked"))
    assert run.handle(Lost(EXITED)) == []
    assert run.handle(Stopped()) == [Released("asked", lost=False)]


# Limits and deadlines


def test_an_inbox_that_is_full_says_so() -> None:
    run = restored(work(), inbox_limit=2)
    run.handle(Requested(work()))
    run.handle(Requested(work()))
    surplus = work()
    (effect,) = run.handle(Requested(surplus))
    assert isinstance(effect, Reject)
    assert effect.work is surplus
    assert effect.error.code is ErrorCode.CAPACITY
    assert effect.error.information == {
        "retry_after_seconds": 1.0,
        "limit": "inbox_limit",
        "used": 2,
        "allowed": 2,
        "applied": "no",
    }
    assert run.queued == 2


@pytest.mark.parametrize("state", (S.BOOTING, S.REPLAYING, S.BUSY, S.APPENDING, S.STOPPING))
def test_a_request_whose_caller_left_before_its_turn_is_dropped(state: ProcessState) -> None:
    run = in_state(state)
    queued = run.queued
    waiting = work()
    run.handle(Requested(waiting))
    (effect,) = run.handle(Expired(waiting))
    assert isinstance(effect, Reject)
    assert effect.work is waiting
    assert effect.error.code is ErrorCode.DEADLINE_EXCEEDED
    assert effect.error.information == {"applied": "no"}
    assert (run.state, run.queued) == (state, queued)


def test_a_request_being_performed_goes_on_without_its_caller() -> None:
    first = work()
    run = restored(first)
    assert run.handle(Expired(first)) == []
    run.handle(Performed(DONE))
    assert run.handle(Expired(first)) == []
    assert run.handle(Appended()) == [Resolve(first), Rested()]


def test_a_request_the_incarnation_was_started_for_goes_on_without_its_caller() -> None:
    first = presence(begun=True)
    run = Run(Origin.CREATE, inbox_limit=8)
    run.handle(Requested(first))
    assert run.handle(Expired(first)) == []
    assert play(run, Booted(), Appended()) == [Resolve(first), Rested()]


@pytest.mark.parametrize("state", (S.BUSY, S.APPENDING))
def test_a_run_asked_to_leave_finishes_its_request_first(state: ProcessState) -> None:
    first, second = work(), work()
    run = restored(first)
    run.handle(Requested(second))
    if state is S.BUSY:
        assert run.handle(EvictAsked("capacity")) == []
        run.handle(Performed(DONE))
    else:
        run.handle(Performed(DONE))
        assert run.handle(EvictAsked("capacity")) == []
    assert run.handle(Appended()) == [Resolve(first), Stop("capacity", orderly=True)]
    assert run.handle(Stopped()) == [Released("capacity", lost=False), Reroute(second)]


def test_a_run_asked_to_leave_finishes_all_steps_of_its_request() -> None:
    batch = work(change(), change())
    run = restored(batch)
    run.handle(EvictAsked("capacity"))
    assert run.handle(Performed(DONE)) == [Send(batch, batch.steps[1])]


def test_the_first_reason_to_leave_is_kept() -> None:
    run = restored(work(read()))
    assert play(run, EvictAsked("first"), EvictAsked("second"), Performed(DONE))[-1] == Stop(
        "first", orderly=True
    )


def test_the_session_timeout_ends_a_resting_run() -> None:
    run = restored()
    assert run.handle(IdleExpired()) == [Stop("session timeout", orderly=True)]
    assert run.handle(Stopped()) == [Released("session timeout", lost=False)]


def taken_back(error: WorkerError, *, pending: bool = False) -> Work:
    """Work whose outcome must be undone, as the shell says before it tells of the outcome."""
    asked = work()
    asked.taken_back = error
    if pending:
        asked.pending = Pending("2", "request", b"", None, ({"kind": "execute", "name": "step"},), 0, 1)
    return asked


WAITS = RequestError(ErrorCode.PENDING_APPROVAL, "it waits", applied="no")


def test_work_that_is_taken_back_is_refused_and_ends_the_process_unrecorded() -> None:
    asked, behind = taken_back(EXITED), work()
    run = restored(asked, behind)

    assert play(run, Performed(DONE)) == [Reject(asked, EXITED), Stop(TAKEN_BACK)]
    assert play(run, Stopped()) == [Released(TAKEN_BACK, lost=True), Reroute(behind)]


def test_work_that_waits_for_approval_is_answered_once_that_is_durable() -> None:
    asked = taken_back(WAITS, pending=True)
    run = restored(asked)

    assert play(run, Performed(DONE)) == [Pause(asked)]
    assert run.state is ProcessState.APPENDING
    assert play(run, Appended()) == [Reject(asked, WAITS), Stop(TAKEN_BACK)]


def test_a_pause_that_cannot_be_written_is_no_pause() -> None:
    asked = taken_back(WAITS, pending=True)
    run = restored(asked)
    play(run, Performed(DONE))

    assert play(run, AppendFailed(REFUSED)) == [Reject(asked, REFUSED), Stop("LOG_UNAVAILABLE")]


def test_a_process_that_dies_while_its_pause_is_written_leaves_the_pause() -> None:
    asked = taken_back(WAITS, pending=True)
    run = restored(asked)
    play(run, Performed(DONE), Lost(EXITED), Stopped())

    assert play(run, Appended()) == [Reject(asked, WAITS), Released("PROCESS_EXITED", lost=True)]
