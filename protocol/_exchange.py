"""One request on its way, without a socket or a clock: when to send it, and which reply ends it.

A request is sent again, always with the same ``request_id``, when it was not answered for
``resend_seconds``, when the connection was lost, and when the answer was an error of ``RETRIED``. The worker
answers a repetition with the stored outcome, so a state change happens at most once however often it is sent.
Times are seconds of any clock that only goes forward; the shell passes ``now`` in.
"""

import math
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from protocol._call import Call, Fields, to_wire
from protocol.codec import MAX_MESSAGE_BYTES, REQUEST_TYPES, encode
from protocol.entities import Actor
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import VERSION, Reply

RETRIED: Final = frozenset(
    {
        ErrorCode.CAPACITY,
        ErrorCode.DRAINING,
        ErrorCode.LOG_UNAVAILABLE,
        ErrorCode.FENCED,
        ErrorCode.OUTCOME_UNKNOWN,
    }
)
"""Errors that pass by themselves. Not PROCESS_EXITED and BOOT_TIMEOUT, although they are retryable: what ended
a process once often ends the next one too, and each attempt costs the worker a restore. Not DEADLINE_EXCEEDED:
the caller chose the deadline."""

FIRST_PAUSE_SECONDS: Final = 0.1
MAX_PAUSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What holds for all requests of one client; the fields are described at ``Client``."""

    endpoint: str
    timeout_seconds: float = 60.0
    resend_seconds: float = 10.0
    max_message_bytes: int = MAX_MESSAGE_BYTES
    actor: Actor | Fields | None = None
    project: str | None = None
    retried: Collection[ErrorCode] = RETRIED

    def __post_init__(self) -> None:
        """Refuse limits that can never be met."""
        if not self.timeout_seconds > 0 or not self.resend_seconds > 0:
            raise ValueError("timeout_seconds and resend_seconds must be more than 0")


class Exchange:
    """One request until its reply.

    Raises:
        ProtocolError: MESSAGE_TOO_LARGE and INVALID_REQUEST for a body that cannot be sent.

    """

    def __init__(self, call: Call[Any], settings: ClientSettings, now: float) -> None:
        options = call.options
        self.type: Final = call.type
        self.request_id: Final = options.get("request_id") or uuid.uuid4().hex
        self.body: Final = encode(self._envelope(call, settings), max_bytes=settings.max_message_bytes)
        self._endpoint = settings.endpoint
        self._timeout_seconds = options.get("timeout_seconds") or settings.timeout_seconds
        self._resend_seconds = settings.resend_seconds
        self._retried = settings.retried
        self._expires_at = now + self._timeout_seconds
        self._due_at = now
        self._sent = 0
        self._error: ProtocolError | None = None
        """The last answer, if nothing was sent after it."""
        self._noise = ""

    def _envelope(self, call: Call[Any], settings: ClientSettings) -> dict[str, Any]:
        actor = call.options.get("actor") or settings.actor
        optional = {
            "deadline_seconds": call.options.get("deadline_seconds"),
            "actor": None if actor is None else to_wire(actor),
            "traceparent": call.options.get("traceparent"),
            "project": call.options.get("project") or settings.project,
        }
        return {
            "version": VERSION,
            "type": call.type,
            "request_id": self.request_id,
            **{name: value for name, value in optional.items() if value is not None},
            **call.fields,
        }

    def wake_at(self, now: float) -> float:
        """When to look again if nothing happens. What is due already waits for the connection only."""
        if now >= self._due_at:
            return self._expires_at
        return min(self._due_at, self._expires_at)

    def is_due(self, now: float) -> bool:
        """Whether the body is to be sent, as soon as the connection takes it."""
        return now >= self._due_at

    @property
    def times_sent(self) -> int:
        """How often the transport took the body."""
        return self._sent

    def sent(self, now: float) -> None:
        """The transport took the body."""
        self._sent += 1
        self._error = None
        self._due_at = now + self._resend_seconds

    def connection_lost(self, now: float) -> None:
        """The worker may never have seen the body, or may never answer: send it again soon."""
        if self._sent and self._error is None:
            self._due_at = min(self._due_at, now + self._pause())

    def receive(self, reply: Reply, now: float) -> Reply | None:
        """The reply to hand to the caller, or None when the request will be sent again.

        Raises:
            ProtocolError: the error that the worker answered with, if it is final.

        """
        if reply.ok:
            return reply
        error = ProtocolError.from_wire(reply.error or {})
        error.request_id = self.request_id
        if error.code not in self._retried:
            raise error
        retry_at = now + _retry_after(error.information, default=self._pause())
        if retry_at >= self._expires_at:
            raise error
        self._error = error
        self._due_at = retry_at
        return None

    def ignored(self, reason: str) -> None:
        """Something arrived that is no reply; said when this request gives up, for it may have been its own."""
        self._noise = f"; the last thing received was not a reply: {reason}"

    def check(self, now: float) -> None:
        """Give up when the time is over.

        Raises:
            ProtocolError: the worker's last error, or DEADLINE_EXCEEDED made here when the last sending was
                not answered; ``information.applied`` is "no" when the body never left.

        """
        if now >= self._expires_at:
            raise self._error or self._no_reply()

    def _pause(self) -> float:
        """Doubles with every sending, so that a worker in trouble is not held there."""
        return min(
            FIRST_PAUSE_SECONDS * 2.0 ** max(0, self._sent - 1), MAX_PAUSE_SECONDS, self._resend_seconds
        )

    def _no_reply(self) -> ProtocolError:
        waited = f"within {self._timeout_seconds:g} s"
        if not self._sent:
            message = f"no connection to {self._endpoint} {waited}; nothing was sent"
        elif self._changes_state():
            message = (
                f"no reply from {self._endpoint} {waited} (sent {self._sent} times); the outcome is unknown:"
                f" ask again with request_id={self.request_id!r}"
            )
        else:
            message = f"no reply from {self._endpoint} {waited} (sent {self._sent} times)"
        error = ProtocolError(
            ErrorCode.DEADLINE_EXCEEDED,
            message + self._noise,
            applied="unknown" if self._sent and self._changes_state() else "no",
            request_id=self.request_id,
            sent=self._sent,
        )
        error.request_id = self.request_id
        return error

    def _changes_state(self) -> bool:
        known = REQUEST_TYPES.get(self.type)
        return known is None or known.changes_state


E = TypeVar("E", bound=Exchange)


def _retry_after(information: Mapping[str, Any], *, default: float) -> float:
    """Seconds to wait, as the worker asked for; anything but a sane number is the client's own pause."""
    seconds = information.get("retry_after_seconds")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and math.isfinite(seconds):
        return max(float(seconds), default)
    return default


def match(reply: Reply, pending: Mapping[str, E]) -> E | None:
    """The request that a reply answers; None for a late reply to one that was given up.

    A reply without a ``request_id`` answers a body that the worker could not read; its size tells which one,
    or that there is only one.
    """
    if reply.request_id is not None:
        return pending.get(reply.request_id)
    size = ProtocolError.from_wire(reply.error or {}).information.get("size")
    candidates = [exchange for exchange in pending.values() if size is None or size == len(exchange.body)]
    return candidates[0] if len(candidates) == 1 else None
