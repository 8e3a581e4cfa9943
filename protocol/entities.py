"""The things that requests and replies speak of, as they travel."""

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

RUN_KEY: Final = re.compile(r"[0-9A-Za-z]{36}")
"""Run keys are opaque on input; the worker makes 36 lower-case hex digits, 16 of them milliseconds."""

RunKey = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{36}$")]
Key = Annotated[str, Field(min_length=1, max_length=128)]
ProjectName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$")]
"""``account/project``: a name space of runs with models of its own. The default project has no name."""


class Entity(BaseModel):
    """A strict, immutable map: unknown fields are refused by name, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Ritual(StrEnum):
    """How a run that is not in memory is brought back for a request, and what becomes of it afterwards."""

    NONE = "NONE"
    INTER = "INTER"
    REANIMATE = "REANIMATE"
    REVIVE = "REVIVE"
    EXORCISE = "EXORCISE"
    RESURRECT = "RESURRECT"


class Role(StrEnum):
    """The platform's role ladder, highest first."""

    SYSTEM = "SYSTEM"
    MONITOR = "MONITOR"
    OWNER = "OWNER"
    AUTHOR = "AUTHOR"
    SUPPORT = "SUPPORT"
    ASSOCIATE = "ASSOCIATE"
    FACILITATOR = "FACILITATOR"
    REVIEWER = "REVIEWER"
    USER = "USER"
    LEADER = "LEADER"
    PARTICIPANT = "PARTICIPANT"
    ANONYMOUS = "ANONYMOUS"


class ScopeBoundary(StrEnum):
    """What a run belongs to."""

    PROJECT = "PROJECT"
    GROUP = "GROUP"
    EPISODE = "EPISODE"
    WORLD = "WORLD"


class Scope(Entity):
    """Name space and owner of a run; a WORLD scope carries no user."""

    scope_boundary: Annotated[ScopeBoundary, Field(strict=False)] = ScopeBoundary.PROJECT
    scope_key: Key
    user_key: Key | None = None


class Permit(Entity):
    """Roles from which on a run may be viewed and updated."""

    read_lock: Annotated[Role, Field(strict=False)] | None = None
    write_lock: Annotated[Role, Field(strict=False)] | None = None


class Actor(Entity):
    """Who asks; recorded with the action and given to the model by ``Epicenter.actor()``."""

    user_key: Key | None = None
    pseudonym_key: Key | None = None
    group_key: Key | None = None
    group_mandate: Key | None = None
    world_key: Key | None = None
    world_role: Key | None = None
    role: Annotated[Role, Field(strict=False)] | None = None
    is_system: bool | None = None


class Address(Entity):
    """Denormalised location of a run, as the API tier knows it; stored and echoed."""

    account_short_name: str | None = None
    project_short_name: str | None = None
    group_name: str | None = None
    episode_name: str | None = None
    world_key: Key | None = None


class RunState(StrEnum):
    """Where a run is: in memory, only archived, or finished for good."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    CLOSED = "CLOSED"


class RunStatus(StrEnum):
    """What a run is doing, for people; the process's own states are private to the worker."""

    CREATED = "created"
    STARTING = "starting"
    EXECUTING = "executing"
    PAUSED = "paused"
    READY = "ready"
    FAILED = "failed"


Morphology = Literal["MANY", "SINGULAR", "PROXY"]


class Run(BaseModel):
    """A run as replies carry it. Times are ISO-8601, UTC, with milliseconds and ``Z``.

    A reader ignores fields it does not know, so that later workers may add some.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    run_key: str
    project: str | None = None
    scope: dict[str, Any]
    permit: dict[str, Any]
    morphology: str
    model_file: str
    model_language: str
    model_version: float | None = None
    model_fingerprint: str
    execution_context: dict[str, Any]
    tracking_key: str | None = None
    marked: bool
    hidden: bool
    closed: bool
    allow_channel: bool
    ephemeral: bool
    perpetual: bool
    grammar: str | None = None
    created: str
    last_modified: str
    last_operated: str | None = None
    address: dict[str, Any] | None = None
    user: dict[str, Any] | None = None
    run_state: RunState
    status: RunStatus
    live: bool
    seq: int
    sandbox: str | None = None
    cloned_from: str | None = None
    tombstone: str | None = None
    cluster: str | None = None
    cloud: str | None = None
    variables: dict[str, Any] | None = None
    meta_data: dict[str, Any] | None = None


class PopMetadata(Entity):
    """Which elements of a metadata list to remove; ``all`` removes those equal to ``value``, or every one."""

    object_type: Literal["first", "last", "all"]
    value: Any = None
