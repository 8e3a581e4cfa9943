"""Where others look on: whoever builds a worker may be told of each effect, before and after it is executed.

The worker decides nothing by it. Fault tests end or stop processes at these points, metrics count; by default nobody
is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from protocol.messages import Request
from worker.log.base import EventListener, StoredEvent
from worker.runs.record import RunRecord
from worker.supervisor.peers import Peer
from worker.telemetry import Traces

Submit = Callable[[Request, Peer], None]


class Moment(StrEnum):
    """When an observer is told: about to happen, or done (of an asynchronous effect: begun)."""

    BEFORE = "before"
    AFTER = "after"


class Observed(Protocol):
    """The host that an effect or a stimulus belongs to."""

    record: RunRecord

    @property
    def pid(self) -> int | None:
        """Process id of the run process, while there is one."""


@dataclass(frozen=True, slots=True)
class Publish:
    """An event that became durable is handed to the event socket."""

    event: StoredEvent


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply is handed to the request socket."""

    reply: dict[str, Any]


Observe = Callable[[Moment, object, Observed | None], None]
"""Takes an effect (both moments), a stimulus (before it is handled), or a ``Publish`` or ``Reply`` of no host.

The stimulus that answers an asynchronous effect is the moment after that effect. Called on the loop.
"""


def unobserved(_moment: Moment, _what: object, _host: Observed | None) -> None:
    """Nobody is told."""


def observed_listener(listener: EventListener, observe: Observe) -> EventListener:
    """``listener``, with each ``Publish`` told."""
    if observe is unobserved:
        return listener

    def publish(event: StoredEvent) -> None:
        effect = Publish(event)
        observe(Moment.BEFORE, effect, None)
        listener(event)
        observe(Moment.AFTER, effect, None)

    return publish


def observed_submit(submit: Submit, observe: Observe) -> Submit:
    """``submit``, with each ``Reply`` told."""
    if observe is unobserved:
        return submit

    def submit_observed(request: Request, peer: Peer) -> None:
        def reply(body: dict[str, Any]) -> None:
            effect = Reply(body)
            observe(Moment.BEFORE, effect, None)
            peer.answer(body)
            observe(Moment.AFTER, effect, None)

        submit(request, replace(peer, answer=reply))

    return submit_observed


def traced_submit(submit: Submit, traces: Traces | None) -> Submit:
    """``submit``, with each request's trace noted for the log."""
    if traces is None:
        return submit

    def submit_traced(request: Request, peer: Peer) -> None:
        if request.traceparent is not None:
            traces.note(request.request_id, request.traceparent)
        submit(request, peer)

    return submit_traced
