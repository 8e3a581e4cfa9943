"""What Epicenter's API answers, and what is added to it: in its spelling, and what there is not is left out."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from protocol import entities, events
from worker.gateway.answers import Answer, CamelAnswer, Failure, PassedOn
from worker.gateway.bodies import CamelPermit, CamelScope

_CAMEL = ConfigDict(alias_generator=to_camel)


class Fault(CamelAnswer):
    """What went wrong."""

    class Information(PassedOn):
        """The code, and what depends on it."""

        model_config = ConfigDict(extra="allow")

        code: str
        retryable: bool | None = None
        worker_code: str | None = Field(None, alias="workerCode")

    status: int
    message: str
    information: Information


class Address(entities.Address):
    """Where a run is found."""

    model_config = _CAMEL


class Actor(entities.Actor):
    """Who asked."""

    model_config = _CAMEL


class Owner(CamelAnswer):
    """The user of a run."""

    user_key: str


class Run(entities.Run):
    """A run; ``variables`` by position, in pages only."""

    model_config = _CAMEL

    # Maps in the protocol, which leaves them to their readers.
    scope: CamelScope  # type: ignore[assignment]
    permit: CamelPermit  # type: ignore[assignment]
    address: Address | None = None  # type: ignore[assignment]
    user: Owner | None = None  # type: ignore[assignment]
    variables: list[Any] | None = None  # type: ignore[assignment]


class Page(CamelAnswer):
    """A page of runs; the next begins at ``firstResult`` and ``maxResults`` together."""

    first_result: int
    max_results: int
    total_results: int
    values: list[Run]


class Step(CamelAnswer):
    """What one action gave: ``result`` of a call, ``value`` of a variable that was read or set."""

    object_type: Literal["execute", "get", "set"]
    name: str
    result: Any = None
    value: Any = None


class World(CamelAnswer):
    """What can be told of a world: its run, and where that is."""

    world_key: str
    run_key: str | None = None
    orbit_type: Literal["GROUP", "EPISODE"] | None = None
    group_name: str | None = None
    episode_name: str | None = None
    personae: list[str]
    assignments: list[dict[str, Any]]


class Outcome(CamelAnswer):
    """What came of an entry."""

    status: Literal["completed", "error"]
    result: Any = None
    error: Failure | None = None


class Call(CamelAnswer):
    """A call of an external function by the model."""

    name: str
    arguments: Any
    result: Any = None
    error: Any = None


class Approval(CamelAnswer):
    """What was decided on an action that waited for it, by whom."""

    action_id: str
    approved: bool
    by: Actor | None = None
    at: str


class Entry(PassedOn):
    """An entry of a history; ``guarded`` names what was left out."""

    model_config = _CAMEL

    seq: int
    epoch: int
    at: str
    actor: Actor | None = None
    approval: Approval | None = None
    request_id: str | None = None
    batch: int
    outcome: Outcome
    calls: list[Call] | None = None
    outcome_digest: str | None = None
    rewound_by: int | None = None
    guarded: list[str] | None = None


class Boot(Entry):
    """What a run began with."""

    kind: Literal["boot"]
    model_file: str
    model_fingerprint: str
    execution_context: dict[str, Any]
    seed: int
    protocol_version: int
    clock: Literal["stamped", "real"]
    entropy: Literal["seeded", "system"]
    packages: dict[str, str] | None = None


class Executed(Entry):
    """An operation was called."""

    kind: Literal["execute"]
    name: str
    arguments: list[Any]


class Assigned(Entry):
    """A variable was set; ``value`` is absent where a guard hides it."""

    kind: Literal["set"]
    name: str
    value: Any = None


class Rewound(Entry):
    """All behind ``toSeq`` was taken back."""

    kind: Literal["rewind"]
    to_seq: int
    rewind_count: int | None = None


class History(CamelAnswer):
    """A page of a history, which goes on to ``headSeq``."""

    entries: list[Annotated[Boot | Executed | Assigned | Rewound, Field(discriminator="kind")]]
    head_seq: int


class Done(PassedOn):
    """A recorded action, as an event tells of it; what is too large is left out."""

    kind: Literal["execute", "set"]
    name: str
    arguments: list[Any] | None = None
    value: Any = None
    result: Any = None
    error: Failure | None = None


class Event(events.Event):
    """What the worker told of a run."""

    model_config = _CAMEL

    # Maps in the protocol, as above.
    run: Run | None = None  # type: ignore[assignment]
    actions: list[Done] | None = None  # type: ignore[assignment]
    actor: Actor | None = None  # type: ignore[assignment]


class Events(CamelAnswer):
    """A page of events, which go on to ``headEvent``."""

    events: list[Event]
    head_event: int


class Caller(CamelAnswer):
    """Who the token says is asking."""

    role: entities.Role
    user_key: str | None = None
    group_key: str | None = None
    world_key: str | None = None
    world_role: str | None = None


class Place(CamelAnswer):
    """Whose channel a message is of."""

    boundary: entities.ScopeBoundary
    category: Literal["RUN"]
    key: str


class Sender(CamelAnswer):
    """Who did it."""

    type: Literal["USER", "RUN"]
    key: str


class PushedAction(CamelAnswer):
    """What was done, not what came of it."""

    object_type: Literal["execute", "set"]
    name: str
    arguments: list[Any] | None = None
    value: Any = None


class RunContent(CamelAnswer):
    """A run was created."""

    object_type: Literal["run"]
    run_key: str
    ignition: Literal["created"]
    run: Run


class MetaContent(CamelAnswer):
    """Metadata was changed; ``omitted`` names what was too large to be told."""

    object_type: Literal["meta"]
    run_key: str
    result: dict[str, Any]
    omitted: list[str] | None = None


class StateContent(CamelAnswer):
    """Actions were recorded, or taken back where there are none; what was left out is named."""

    object_type: Literal["state"]
    run_key: str
    actions: list[PushedAction]
    guarded: list[str] | None = None
    omitted: list[str] | None = None


class Message(Answer):
    """What Epicenter's RUN channel tells."""

    date: str
    type: Literal["RUN", "META", "STATE"]
    address: Place
    sender: Sender
    content: RunContent | MetaContent | StateContent
