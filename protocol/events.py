"""What the worker tells of runs without being asked: the frames of its event socket.

An event is two frames: the topic ``run/<run_key>/<kind>`` and a msgpack map. Events of one run are numbered
from 1 without holes, whatever their kinds, so that a reader of all kinds knows what it missed.

Progress is no event: it is not numbered, not kept, and has topics of its own, ``progress/<run_key>``.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgpack
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.values import invalid

_Message = TypeVar("_Message", bound=BaseModel)


class EventKind(StrEnum):
    """What an event tells."""

    CREATED = "created"
    STATUS = "status"
    STATE = "state"
    METADATA = "metadata"
    RESTORED = "restored"
    REWOUND = "rewound"
    EVICTED = "evicted"
    CLOSED = "closed"
    OUTPUT = "output"


class Event(BaseModel):
    """One event; the fields that its kind does not have are None. Unknown kinds and fields may come.

    ``at`` is ISO-8601, UTC, with milliseconds and ``Z``. ``from_status`` travels as ``from``, ``to_status`` as
    ``to``.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    event: int
    run_key: str
    kind: str
    at: str
    run: dict[str, Any] | None = None
    seq: int | None = None
    actions: list[dict[str, Any]] | None = None
    variables: dict[str, Any] | None = None
    actor: dict[str, Any] | None = None
    request_id: str | None = None
    metadata: dict[str, Any] | None = None
    omitted: list[str] | None = None
    guarded: list[str] | None = None
    to_seq: int | None = None
    reason: str | None = None
    from_status: str | None = Field(None, alias="from")
    to_status: str | None = Field(None, alias="to")
    status_seq: int | None = None
    lines: list[dict[str, str]] | None = None


COMMON_FIELDS: Final = ("version", "event", "run_key", "kind", "at")
KIND_FIELDS: Final[Mapping[EventKind, tuple[str, ...]]] = {
    EventKind.CREATED: ("run", "variables", "omitted?", "guarded?"),
    EventKind.STATUS: ("from", "to", "reason?", "status_seq?"),
    EventKind.STATE: ("seq", "actions", "variables", "actor?", "request_id", "omitted?", "guarded?"),
    EventKind.METADATA: ("metadata", "request_id", "omitted?"),
    EventKind.RESTORED: ("seq",),
    EventKind.REWOUND: ("to_seq", "seq", "request_id"),
    EventKind.EVICTED: ("reason", "seq"),
    EventKind.CLOSED: ("seq", "request_id"),
    EventKind.OUTPUT: ("lines",),
}
"""What an event of a kind has besides ``COMMON_FIELDS``, as it travels; ``?`` marks what may be absent."""


def topic(run_key: str, kind: str = "") -> str:
    """The first frame of an event; without a kind, what to subscribe to for all kinds of a run."""
    return f"run/{run_key}/{kind}"


PROGRESS_TOPIC: Final = "progress/"
"""Begins the first frame of every progress message; the run key follows."""


class Progress(BaseModel):
    """How far the replay of a run has come: ``applied`` of ``total`` actions. Unknown fields may come.

    ``cloned_from``: where a clone comes up, the run that it is made from.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    run_key: str
    applied: int
    total: int
    cloned_from: str | None = None


PROGRESS_FIELDS: Final = ("version", "run_key", "applied", "total", "cloned_from?")


BUILDING_TOPIC: Final = "environment/"
"""Begins the first frame of what is told of a build of an environment; its key follows."""


class Building(BaseModel):
    """How the build of an environment gets on, for whoever waits for it. Unknown fields may come.

    ``request_ids``: of requests that wait for it, at most 100. ``size_bytes``: on disk so far; ``seconds``: so far.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    environment: str
    request_ids: list[str]
    size_bytes: int
    seconds: float


def decode_building(body: bytes) -> Building:
    """Decode the second frame of a message about a build.

    Raises:
        ProtocolError: INVALID_REQUEST when the peer sent no such message of this protocol.
    """
    return _decoded(Building, body)


def decode_progress(body: bytes) -> Progress:
    """Decode the second frame of a progress message.

    Raises:
        ProtocolError: INVALID_REQUEST when the peer sent no such message of this protocol.
    """
    return _decoded(Progress, body)


def decode_event(body: bytes) -> Event:
    """Decode the second frame of an event.

    Raises:
        ProtocolError: INVALID_REQUEST when the peer sent no event of this protocol.
    """
    return _decoded(Event, body)


def _decoded(model: type[_Message], body: bytes) -> _Message:
    what = model.__name__.lower()
    try:
        return model.model_validate(msgpack.unpackb(body, raw=False))
    except ValidationError as error:
        raise invalid("", f"no {what}: {error.errors(include_url=False)[0]['msg']}") from error
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise invalid("", f"no {what}: {type(error).__name__}") from error
