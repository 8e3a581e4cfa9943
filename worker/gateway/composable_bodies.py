"""What the Composable runs API reads. Unknown names are refused; those that mean nothing here say why."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.entities import Key
from protocol.profiles import Name, RunId, Tag, Tags, WaitSeconds
from worker.gateway.bodies import Query

MEANINGLESS: Final = {
    "prompt": "the worker has no prompts; send `data`, or actions in Epicenter's API",
    "prompts": "the worker has no prompts",
    "tool_definitions": "a model calls what its context declares as external functions",
    "conversation": "a run keeps its own history",
    "memory": "there are no data packs",
    "output_modality": "results are JSON values",
    "temperature": "a model file is no language model",
    "max_tokens": "a model file is no language model",
    "asyncCompletion": "a run always goes on by itself; follow its stream",
    "workflow": "there are no workflows; a parent is a run",
    "cache_policy": "a cached call would be missing in the log",
}
"""Names of the vendor's that have no meaning for a host of Python models, and why."""


class Part(BaseModel):
    """A JSON object: unknown names are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _meaningful(cls, data: Any) -> Any:
        for name in data if isinstance(data, dict) else ():
            if name in MEANINGLESS and name not in cls.model_fields:
                raise ValueError(f"{name}: has no meaning here: {MEANINGLESS[name]}")
        return data


class RunConfig(Part):
    """How an interaction is run. ``model``: the fingerprint, or version, of the model file that is meant."""

    environment: Annotated[str, Field(max_length=128)] | None = None
    model: Annotated[str, Field(max_length=128)] | None = None
    do_validate: bool | None = None
    run_data: Literal["STANDARD", "RESTRICTED", "DEBUG"] = "STANDARD"


class RunBody(Part):
    """A new run. ``interaction``: a model file, ``name@tag`` for another than the latest."""

    interaction: Annotated[str, Field(min_length=1, max_length=1024)]
    data: Any = None
    config: RunConfig = RunConfig()
    result_schema: dict[str, Any] | bool | None = None
    stream: bool = False
    do_validate: bool | None = None
    tags: Tag | Tags | None = None
    id: RunId | None = None
    name: Name | None = None
    parent: RunId | None = None
    metadata: dict[Key, Any] | None = None
    context: dict[str, Any] | None = None
    ttl: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    wait_time: WaitSeconds | None = Field(None, alias="waitTime")


class EvaluationPart(Part):
    """What people think of a run."""

    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    scores: dict[Key, float] | None = None
    selected: bool | None = None


class UpdateRunBody(Part):
    """What can be changed of a run; ``parent`` null takes it from its parent."""

    tags: Tag | Tags | None = None
    name: Name | None = None
    evaluation: EvaluationPart | None = None
    ttl: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    parent: None = None


class CloneRunBody(Part):
    """Which run to copy."""

    source_run_id: RunId


class SearchPart(Part):
    """Which runs to look for; all that is given must hold."""

    name: str | None = None
    status: str | list[str] | None = None
    interaction: str | list[str] | None = None
    environment: str | list[str] | None = None
    model: str | list[str] | None = None
    tags: str | list[str] | None = None
    exclude_tags: str | list[str] | None = None
    query: Annotated[str, Field(max_length=1024)] | None = None
    parent: str | list[str] | Literal[False] | None = None
    is_root: Literal[True] | None = None
    object: Key | None = None
    start: str | None = None
    end: str | None = None
    finish_reason: str | list[str] | None = None
    created_by: str | list[str] | None = None
    run_ids: Annotated[list[RunId], Field(max_length=1000)] | None = None


Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0, lt=2**63)]


class OrderPart(Part):
    """A field to sort by."""

    field: Literal["created_at", "updated_at", "name", "status", "execution_time"]
    order: Literal["asc", "desc"] = "desc"


class SearchBody(Part):
    """A page of what matches."""

    query: SearchPart = SearchPart()
    limit: Limit = 100
    offset: Offset = 0
    sort: Annotated[list[OrderPart], Field(max_length=5)] | None = None


class FindBody(Part):
    """A document of operators."""

    query: dict[str, Any]
    limit: Limit = 100
    offset: Offset = 0
    select: Annotated[str, Field(max_length=2048)] | None = None


class FacetPart(Part):
    """A field to count the values of, under a name of the caller's."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    field: Annotated[str, Field(min_length=1, max_length=128)]


class FacetsBody(Part):
    """What to count, among which runs."""

    facets: Annotated[list[FacetPart], Field(min_length=1, max_length=10)]
    query: SearchPart = SearchPart()


class FilterQuery(Query):
    """Which runs; each may be given several times, or hold several values with commas between them."""

    model_config = ConfigDict(alias_generator=None)

    lists: ClassVar[frozenset[str]] = frozenset(
        {"interaction", "status", "model", "environment", "tag", "parent", "finish_reason", "created_by"}
    )

    interaction: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    parent: tuple[str, ...] = ()
    finish_reason: tuple[str, ...] = ()
    created_by: tuple[str, ...] = ()
    is_root: Literal["true"] | None = None


class GetQuery(Query):
    """How a run is shown; its interaction is, with its name, whether ``populate`` is asked for or not."""

    model_config = ConfigDict(alias_generator=None)

    populate: Literal["true", "false"] = "false"


class ListQuery(FilterQuery):
    """A page of them."""

    limit: Limit = 100
    offset: Offset = 0


class StreamQuery(Query):
    """Where a stream begins, what it tells, and who asks."""

    model_config = ConfigDict(alias_generator=None)

    access_token: str | None = None
    since: str | None = None
    follow: Literal["true", "false"] = "false"
    event_names: Literal["chunk", "message"] = "chunk"
    events: str | None = None


class TracesQuery(Query):
    """A page of traces, behind the action named."""

    model_config = ConfigDict(alias_generator=None)

    after_seq: Annotated[int, Field(ge=0, lt=2**63)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
