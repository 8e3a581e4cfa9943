"""What happened in a worker so far, counted for metrics.

``Meters`` looks on where fault tests do (``observe``), and at the replies, so that the parts that are looked at
know nothing of it. A worker without metrics has none.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from protocol.messages import Request
from worker.errors import WorkerError
from worker.metering import Histogram
from worker.runs import stimuli as s
from worker.settings import Settings
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.observe import Moment, Observe, Observed, Submit, unobserved
from worker.supervisor.peers import Peer

OK = "OK"
"""Stands for a code where a request succeeded."""
OTHER = "other"
_BEFORE: Final = Moment.BEFORE
"""A name of its own: reading a member of an enum costs more than all that follows."""


class _Host(Protocol):
    """What is read of a host."""

    incarnation: Incarnation

    @property
    def replay_progress(self) -> tuple[int, int]:
        """Actions applied, and those there are."""


@dataclass(slots=True)
class Tallies:
    """Since the start of the worker. Keys are words of its own, so there are not many of them.

    ``requests`` by type, ``replies`` by type and code, ``starts`` (that succeeded) by origin, ``evictions`` by
    reason, ``losses`` by code, limit ("" for none) and whether the run was "live" or "starting". ``appends``: from
    when an append is handed to the log until it is known to be durable.
    """

    requests: dict[str, Histogram] = field(default_factory=dict)
    replies: Counter[tuple[str, str]] = field(default_factory=Counter)
    starts: dict[str, Histogram] = field(default_factory=dict)
    evictions: Counter[str] = field(default_factory=Counter)
    losses: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    appends: Histogram = field(default_factory=Histogram)
    replayed_actions: int = 0
    replay_seconds: float = 0.0

    def copy(self) -> "Tallies":
        """As they are now."""
        return Tallies(
            {name: one.copy() for name, one in self.requests.items()},
            self.replies.copy(),
            {name: one.copy() for name, one in self.starts.items()},
            self.evictions.copy(),
            self.losses.copy(),
            self.appends.copy(),
            self.replayed_actions,
            self.replay_seconds,
        )


class Meters:
    """Used on the loop only. What is under way is known by its host until that is released."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tallies = Tallies()
        self._starting: dict[_Host, float] = {}
        self._replaying: dict[_Host, float] = {}
        self._writing: dict[_Host, float] = {}
        self._lost: set[_Host] = set()
        self._takes: dict[type, Callable[[Any, Any], None]] = {
            s.Boot: self._boot,
            s.Replay: self._replay,
            s.Replayed: self._replayed,
            s.Commit: self._write,
            s.Append: self._write,
            s.Appended: self._appended,
            s.AppendFailed: self._failed,
            s.Lost: self._failed,
            s.Stop: self._replay_ended,
            s.Released: self._released,
        }

    def tallies(self) -> Tallies:
        """A copy, with what replays that go on have done by now."""
        tallies, now = self._tallies.copy(), self._clock()
        for host, began in self._replaying.items():
            tallies.replayed_actions += host.replay_progress[0]
            tallies.replay_seconds += now - began
        return tallies

    def looking_on(self, observe: Observe) -> Observe:
        """``observe``, with this looking on as well."""
        if observe is unobserved:
            return self.observe

        def both(moment: Moment, what: object, host: Observed | None) -> None:
            self.observe(moment, what, host)
            observe(moment, what, host)

        return both

    def observe(self, moment: Moment, what: object, host: Observed | None) -> None:
        """Count what is about to happen to a host (``Observe``)."""
        if moment is _BEFORE and (take := self._takes.get(type(what))) is not None:
            take(what, host)

    def metered(self, submit: Submit) -> Submit:
        """``submit``, with each reply counted and its time taken, from the request's arrival."""
        clock, replied = self._clock, self._replied

        def submit_metered(request: Request, peer: Peer) -> None:
            began, answer = clock(), peer.answer

            def reply(body: dict[str, Any]) -> None:
                replied(request, body, clock() - began)
                answer(body)

            submit(request, Peer(peer.route, reply, peer.push))

        return submit_metered

    def _replied(self, request: Request, body: dict[str, Any], seconds: float) -> None:
        kind: str = request.type  # type: ignore[attr-defined]  # every request has one, as a literal of its own
        self._tallies.replies[kind, OK if body["ok"] else body["error"]["code"]] += 1
        _take(self._tallies.requests, kind, seconds)

    # What happens to hosts

    def _boot(self, _: s.Boot, host: _Host) -> None:
        self._starting[host] = self._clock()

    def _replay(self, _: s.Replay, host: _Host) -> None:
        self._replaying[host] = self._clock()

    def _replayed(self, _: s.Replayed, host: _Host) -> None:
        self._replay_ended(_, host)
        if not host.incarnation.origin.commits:
            self._came_up(host)

    def _replay_ended(self, _: object, host: _Host) -> None:
        began = self._replaying.pop(host, None)
        if began is not None:
            self._tallies.replayed_actions += host.replay_progress[0]
            self._tallies.replay_seconds += self._clock() - began

    def _write(self, _: object, host: _Host) -> None:
        self._writing[host] = self._clock()

    def _appended(self, _: s.Appended, host: _Host) -> None:
        began = self._writing.pop(host, None)
        if began is not None:
            self._tallies.appends.observe(self._clock() - began)
        if self._starting:
            self._came_up(host)

    def _came_up(self, host: _Host) -> None:
        began = self._starting.pop(host, None)
        if began is not None:
            _take(self._tallies.starts, host.incarnation.origin.value, self._clock() - began)

    def _failed(self, what: s.Lost | s.AppendFailed, host: _Host) -> None:
        if host in self._lost:
            return
        self._lost.add(host)
        phase = "starting" if host in self._starting else "live"
        self._tallies.losses[str(what.error.code), _limit(what.error), phase] += 1

    def _released(self, what: s.Released, host: _Host) -> None:
        self._writing.pop(host, None)
        self._starting.pop(host, None)
        if host in self._lost:
            self._lost.remove(host)
        else:
            self._tallies.evictions[what.reason] += 1


def _take(histograms: dict[str, Histogram], name: str, seconds: float) -> None:
    histogram = histograms.get(name)
    if histogram is None:
        histogram = histograms[name] = Histogram()
    histogram.observe(seconds)


def _limit(error: WorkerError) -> str:
    """The setting whose limit was reached, "" for none: what else an error may say is not bounded."""
    limit = error.information.get("limit")
    if limit is None:
        return ""
    return limit if limit in Settings.model_fields else OTHER
