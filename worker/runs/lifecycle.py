"""The life cycle of one hosted run: stimuli in, effects out.

A ``Run`` is one incarnation of a run in memory: it begins cold, starts one process, brings it up to its
history, performs one request at a time, and ends cold, for good; the next request makes a new incarnation.
``TRANSITIONS`` says what may happen in which state; anything else raises and changes nothing.

What the shell must know: effects are executed in order, each exactly once; ``Append``, ``Pause`` and ``Commit`` are
answered by ``Appended`` or ``AppendFailed``, ``Stop`` by ``Stopped`` when the process is gone; after
``Released`` the object is finished.
"""

from collections import deque
from typing import Final, assert_never

from protocol.errors import ErrorCode
from worker.errors import CapacityError, RequestError, WorkerError
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
    Stimulus,
    Stop,
    Stopped,
    Work,
)

S = ProcessState
TAKEN_BACK: Final = "taken back"
"""Why a run leaves memory whose process did what must not have been done; it comes back as it was before."""
_ALIVE: Final = (S.BOOTING, S.REPLAYING, S.IDLE, S.BUSY, S.APPENDING)

TRANSITIONS: Final[dict[tuple[ProcessState, type[Stimulus]], tuple[ProcessState, ...]]] = {
    (S.COLD, Requested): (S.BOOTING,),
    (S.BOOTING, Requested): (S.BOOTING,),
    (S.REPLAYING, Requested): (S.REPLAYING,),
    (S.IDLE, Requested): (S.IDLE, S.BUSY, S.STOPPING),
    (S.BUSY, Requested): (S.BUSY,),
    (S.APPENDING, Requested): (S.APPENDING,),
    (S.STOPPING, Requested): (S.STOPPING,),
    **{(state, Expired): (state,) for state in (*_ALIVE, S.STOPPING)},
    (S.BOOTING, Booted): (S.REPLAYING, S.APPENDING),
    (S.REPLAYING, Replayed): (S.APPENDING, S.IDLE, S.BUSY, S.STOPPING),
    (S.BUSY, Performed): (S.BUSY, S.APPENDING, S.IDLE, S.STOPPING),
    (S.APPENDING, Appended): (S.IDLE, S.BUSY, S.STOPPING),
    (S.APPENDING, AppendFailed): (S.STOPPING,),
    **{(state, Lost): (S.STOPPING,) for state in (*_ALIVE, S.STOPPING)},
    (S.BOOTING, EvictAsked): (S.BOOTING,),
    (S.REPLAYING, EvictAsked): (S.REPLAYING,),
    (S.IDLE, EvictAsked): (S.STOPPING,),
    (S.BUSY, EvictAsked): (S.BUSY,),
    (S.APPENDING, EvictAsked): (S.APPENDING,),
    (S.STOPPING, EvictAsked): (S.STOPPING,),
    (S.IDLE, IdleExpired): (S.STOPPING,),
    (S.STOPPING, Appended): (S.STOPPING, S.COLD),
    (S.STOPPING, AppendFailed): (S.STOPPING, S.COLD),
    (S.STOPPING, Stopped): (S.COLD, S.STOPPING),
}
"""Which states may follow a stimulus in a state; a pair that is not here is illegal."""


class IllegalTransitionError(Exception):
    """A stimulus that cannot happen in this state: a bug of the shell. Nothing was changed."""


class Run:
    """One incarnation of a run in memory; see the module's docstring."""

    def __init__(self, origin: Origin, *, inbox_limit: int) -> None:
        self.origin = origin
        self.state = ProcessState.COLD
        self.current: Work | None = None
        self._inbox: deque[Work] = deque()
        self._inbox_limit = inbox_limit
        self._ready = False
        self._writing = False
        self._is_gone = False
        self._is_lost = False
        self._ending: str | None = None
        self._held: Work | None = None
        self._effects: list[Effect] = []

    @property
    def queued(self) -> int:
        """Requests that wait behind the current one."""
        return len(self._inbox)

    @property
    def came_up(self) -> bool:
        """Whether the run was ever ready in this incarnation, or what it begins with became durable."""
        return self._ready

    @property
    def usable(self) -> bool:
        """Whether the run is in memory and will serve what is asked of it now."""
        return self._ready and self.state in (S.IDLE, S.BUSY, S.APPENDING)

    @property
    def ending(self) -> bool:
        """Whether the run leaves memory after what was asked of it so far."""
        if self._ending is not None or (self.current is not None and self.current.ends):
            return True
        return any(work.ends for work in self._inbox)

    def handle(self, stimulus: Stimulus) -> list[Effect]:
        """Take one stimulus; returns what to do about it, in order.

        Raises:
            IllegalTransitionError: the stimulus cannot happen in this state; nothing was changed.
        """
        allowed = TRANSITIONS.get((self.state, type(stimulus)))
        if allowed is None or (self.state is ProcessState.COLD and self._ending is not None):
            raise IllegalTransitionError(f"{type(stimulus).__name__} in state {self.state}")
        self._effects = []
        self._dispatch(stimulus)
        if self.state not in allowed:
            raise IllegalTransitionError(f"{type(stimulus).__name__} led to {self.state}, allowed {allowed}")
        return self._effects

    def _dispatch(self, stimulus: Stimulus) -> None:
        match stimulus:
            case Requested(work):
                self._requested(work)
            case Expired(work):
                self._expired(work)
            case Booted():
                self._booted()
            case Replayed():
                self._replayed()
            case Performed(outcome):
                work = self._performing()
                work.outcomes.append(outcome)
                self._advance(work)
            case Appended():
                self._written(None)
            case AppendFailed(error):
                self._written(error)
            case Lost(error):
                self._lost(error)
            case EvictAsked(reason):
                self._ending = self._ending or reason
                if self.state is ProcessState.IDLE:
                    self._stop(reason, orderly=True)
            case IdleExpired():
                self._stop("session timeout", orderly=True)
            case Stopped():
                self._gone()
            case _:
                assert_never(stimulus)

    # Requests

    def _requested(self, work: Work) -> None:
        if len(self._inbox) >= self._inbox_limit:
            used = len(self._inbox)
            message = f"{used} requests wait for this run already"
            error = CapacityError(message, limit="inbox_limit", used=used, allowed=self._inbox_limit)
            self._effects.append(Reject(work, error))
            return
        self._inbox.append(work)
        if self.state is ProcessState.COLD:
            self.state = ProcessState.BOOTING
            self._effects.append(Boot())
        elif self.state is ProcessState.IDLE:
            self._next()

    def _expired(self, work: Work) -> None:
        if work in self._inbox and not work.begun:
            self._inbox.remove(work)
            message = "the deadline passed before the request's turn came; nothing happened"
            error = RequestError(ErrorCode.DEADLINE_EXCEEDED, message, applied="no")
            self._effects.append(Reject(work, error))

    # Coming up

    def _booted(self) -> None:
        if self.origin.replays:
            self.state = ProcessState.REPLAYING
            self._effects.append(Replay())
        else:
            self._write(Commit())

    def _replayed(self) -> None:
        if self.origin.commits:
            self._write(Commit())
        else:
            self._ready = True
            self._next()

    def _write(self, effect: Commit | Append | Pause) -> None:
        self.state = ProcessState.APPENDING
        self._writing = True
        self._effects.append(effect)

    # One request at a time

    def _next(self) -> None:
        """Take up the next request, or rest, or stop."""
        self.state = ProcessState.IDLE
        while self._inbox and (self._ending is None or self._inbox[0].begun):
            work = self._inbox.popleft()
            if work.steps:
                self.state = ProcessState.BUSY
                self.current = work
                self._effects.append(Send(work, work.steps[0]))
                return
            self._settle(work)
        if self._ending is not None:
            self._stop(self._ending, orderly=True)
        else:
            self._effects.append(Rested())

    def _advance(self, work: Work) -> None:
        if work.taken_back is not None:
            self._take_back(work)
        elif not work.finished and not work.refuse_next():
            self._effects.append(Send(work, work.steps[len(work.outcomes)]))
        elif work.leaves_trace:
            self._write(Append(work))
        else:
            self._done(work)

    def _take_back(self, work: Work) -> None:
        """What was done is undone by ending the process, which is ahead of the log."""
        if work.pending is not None:
            self._write(Pause(work))
        else:
            self._done(work)

    def _done(self, work: Work) -> None:
        self.current = None
        self._settle(work)
        if work.taken_back is None:
            self._next()
        else:
            self._is_lost = True
            self._stop(TAKEN_BACK)

    def _settle(self, work: Work) -> None:
        """A request is done: answer it, or end the run first where it asked for that."""
        if work.taken_back is not None:
            self._effects.append(Reject(work, work.taken_back))
        elif work.ends:
            self._held = work
            self._ending = self._ending or ("ritual" if work.steps else "request")
        else:
            self._effects.append(Resolve(work))

    def _performing(self) -> Work:
        if self.current is None:
            raise IllegalTransitionError(f"nothing is being performed in state {self.state}")
        return self.current

    # The write is over

    def _written(self, error: WorkerError | None) -> None:
        if not self._writing:
            raise IllegalTransitionError(f"nothing is being written in state {self.state}")
        self._writing = False
        if self.state is ProcessState.STOPPING:
            self._decide(error)
            if self._is_gone:
                self._release()
        elif error is not None:
            self._is_lost = True
            self._decide(error)
            self._stop(str(error.code))
        elif self.current is None:
            self._ready = True
            self._next()
        else:
            self._done(self.current)

    def _decide(self, error: WorkerError | None) -> None:
        """The process is of no use any more, but what became of its work is decided by the log alone.

        Requests that only waited are not concerned: they go on in the next incarnation.
        """
        decided = [self.current] if self.current is not None else [work for work in self._inbox if work.begun]
        self.current = None
        self._inbox = deque(work for work in self._inbox if work not in decided)
        self._ready = self._ready or error is None
        for work in decided:
            if error is None:
                self._settle(work)
            else:
                self._effects.append(Reject(work, error))

    # Going down

    def _lost(self, error: WorkerError) -> None:
        if self.state is ProcessState.STOPPING:
            return
        self._is_lost = True
        if not self._writing:
            self._reject_current(error)
            if not self._ready:
                while self._inbox:
                    self._effects.append(Reject(self._inbox.popleft(), error))
        self._stop(str(error.code))

    def _reject_current(self, error: WorkerError) -> None:
        if self.current is not None:
            self._effects.append(Reject(self.current, error))
            self.current = None

    def _stop(self, reason: str, *, orderly: bool = False) -> None:
        self.state = ProcessState.STOPPING
        self._ending = reason
        self._effects.append(Stop(reason, orderly))

    def _gone(self) -> None:
        self._is_gone = True
        if not self._writing:
            self._release()

    def _release(self) -> None:
        self.state = ProcessState.COLD
        if self._held is not None:
            self._effects.append(Resolve(self._held))
        self._effects.append(Released(self._ending or "stopped", lost=self._is_lost))
        while self._inbox:
            self._effects.append(Reroute(self._inbox.popleft()))


def state_diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> cold"]
    arrows: dict[tuple[ProcessState, ProcessState], list[str]] = {}
    for (state, stimulus), targets in TRANSITIONS.items():
        for target in targets:
            if target is not state:
                arrows.setdefault((state, target), []).append(stimulus.__name__)
    for (state, target), names in arrows.items():
        lines.append(f"    {state} --> {target}: {', '.join(names)}")
    return "\n".join(lines)
