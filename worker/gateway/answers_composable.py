"""What the Composable runs API answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol import profiles
from worker.gateway.answers import NULLS, Answer, PassedOn, WholeAnswer

Status = Literal["created", "processing", "completed", "failed"]


class Fault(Answer):
    """What went wrong; ``error`` is a code."""

    error: str
    status: int
    message: str
    details: dict[str, Any] | None = None


class Reference(Answer):
    """Something that has a name."""

    id: str
    name: str


class RunError(PassedOn):
    """What a run failed of."""

    code: str
    message: str
    data: Any = None


class ResourceUse(PassedOn):
    """What a run took, of what is recorded of it."""

    cpu_seconds: float
    wall_seconds: float
    peak_rss_bytes: int
    actions: int


class Config(WholeAnswer):
    """What the model of a run is, and its packages."""

    environment: str | None
    model: str


class RunRef(WholeAnswer):
    """A run in a list: without parameters, result, their schema and the prompt."""

    id: str
    run_key: str
    name: str
    interaction: Reference
    environment: Reference | None
    model_id: str = Field(alias="modelId")
    status: Status
    finish_reason: str | None
    error: RunError | None
    tags: list[str]
    parent: str | None
    evaluation: profiles.Evaluation | None
    ttl: int | None
    config: Config
    source: profiles.Source | None
    token_use: None
    resource_use: ResourceUse
    chunks: int
    execution_time: Annotated[float, Field(description="seconds")]
    execution_time_ms: float
    created_at: str
    updated_at: str
    created_by: str | None
    updated_by: str | None
    account: Reference
    project: Reference
    metadata: dict[str, Any]


class Run(RunRef):
    """A run, whole."""

    parameters: Any
    result: Any
    result_errors: Any
    result_schema: dict[str, Any] | bool | None
    prompt: None


class Started(Run):
    """A run that was waited for; ``created``: whether it is a new one."""

    created: bool


class Begun(Answer):
    """A run that goes on by itself; ``created``: whether it is a new one."""

    id: str
    status: Status
    created: bool


def _of_choice(schema: dict[str, Any]) -> None:
    """Any field may have been left out by who asked."""
    schema[NULLS] = True
    del schema["required"]


class FoundRun(Run):
    """What ``find`` gives of a run: the fields that were selected, references as ids."""

    model_config = ConfigDict(json_schema_extra=_of_choice)

    interaction: str  # type: ignore[assignment]
    environment: str | None  # type: ignore[assignment]
    account: str  # type: ignore[assignment]
    project: str  # type: ignore[assignment]


class Deleted(Answer):
    """The run that is gone."""

    id: str


class Cloned(Answer):
    """A copy: its key, and where it is."""

    id: str
    account: str
    project: str


class Bucket(Answer):
    """A value of a field, null for runs without one, and how many runs have it."""

    value: Annotated[str | float | bool | None, Field(alias="_id")]
    count: int
    name: str | None = None


class Facets(BaseModel):
    """Buckets by the names that the caller chose, the most frequent first; ``total``: how many runs match."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[Bucket]]

    total: int


class Option(Answer):
    """A value that a filter can have, and how many runs have it."""

    id: str
    name: str
    count: int


class Ended(Answer):
    """How the run came to rest."""

    status: Status


class Variable(Answer):
    """A recorded variable that an action changed."""

    name: str
    value: Any
