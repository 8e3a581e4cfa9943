"""What the gateway reads: queries and bodies in Epicenter's own spelling. Unknown names are refused."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, RootModel, model_validator
from pydantic.alias_generators import to_camel

from protocol.actions import NAME_BYTES
from protocol.entities import Key, Permit, Ritual, RunKey, Scope
from protocol.envelope import MAX_RUN_KEYS, Context, ModelFile

_CAMEL = AliasGenerator(alias=to_camel)
Name = Annotated[str, Field(min_length=1, max_length=NAME_BYTES)]
Timeout = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False, description="seconds to wait")]
RitualName = Annotated[Ritual, Field(strict=False)]
Include = Annotated[str, Field(description="names joined by `;`")]


class Body(BaseModel):
    """A JSON object: unknown names are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=_CAMEL)

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name, value in data.items():
                if value is None and name != "value":
                    raise ValueError(f"{name}: is null; what is not meant is left out")
        return data

    def fields(self) -> dict[str, Any]:
        """What was given, in the worker's spelling. Empty contexts, which Epicenter's client always sends, are none."""
        given = self.model_dump(exclude_unset=True, mode="json")
        return {name: value for name, value in given.items() if not (name.endswith("_context") and not value)}


class CamelScope(Scope):
    """Name space and owner of a run."""

    model_config = ConfigDict(alias_generator=_CAMEL)


class CamelPermit(Permit):
    """Roles from which on a run may be viewed and updated; either may be left out."""

    model_config = ConfigDict(alias_generator=_CAMEL)


class CamelAddress(Body):
    """Where queries by group and episode find the run; account, project and world are known already."""

    group_name: Key | None = None
    episode_name: Key | None = None


class SingularBody(Body):
    """What a run is started from."""

    model_file: ModelFile
    permit: CamelPermit | None = None
    tracking_key: Key | None = None
    model_context: Context = {}
    execution_context: Context = {}
    ephemeral: bool = False
    allow_channel: bool = False
    perpetual: bool = False
    grammar: Annotated[str, Field(max_length=1024)] | None = None
    address: CamelAddress | None = None
    morphology: Literal["SINGULAR"] = "SINGULAR"


class WorldRunBody(SingularBody):
    """What the run of a world is started from, where it has none."""

    morphology: Literal["MANY"] = "MANY"  # type: ignore[assignment]  # another word for each kind of run


class CreateBody(SingularBody):
    """A new run."""

    scope: CamelScope
    morphology: Literal["MANY", "SINGULAR", "PROXY"] = "MANY"  # type: ignore[assignment]  # as above


class RestoreBody(Body):
    """How a run is brought into memory."""

    model_context: Context = {}
    execution_context: Context = {}
    ephemeral: bool = False


class CloneBody(RestoreBody):
    """What is different about a copy."""

    tracking_key: Key | None = None


class RewindBody(Body):
    """How far a run goes back: by calls of the operation that its context names as a step."""

    rewind_count: int
    model_context: Context = {}
    ephemeral: bool = False


class RewindToBody(Body):
    """The last entry of the history that is to count."""

    to_seq: Annotated[int, Field(ge=1, lt=2**63)]
    model_context: Context = {}
    ephemeral: bool = False


class CloneAtBody(CloneBody):
    """A copy of what the run was when its history ended with this entry."""

    at_seq: Annotated[int, Field(ge=1, lt=2**63)]


class UpdateBody(Body):
    """Attributes to change."""

    permit: CamelPermit | None = None
    tracking_key: Key | None = None
    marked: bool | None = None
    hidden: bool | None = None
    closed: bool | None = None
    allow_channel: bool | None = None


class OperationBody(Body):
    """A call of one operation."""

    name: Name
    arguments: list[Any] = []
    object_type: Literal["execute"] = "execute"


class VariablesBody(Body):
    """Which variables to read."""

    include: Include
    ritual: RitualName | None = None
    timeout: Timeout | None = None
    ignorable: bool = False


class ManyVariablesBody(VariablesBody):
    """Which variables to read, of which runs."""

    run_key: Annotated[list[RunKey], Field(min_length=1, max_length=MAX_RUN_KEYS)]


class ValuesBody(RootModel[dict[str, Any]]):
    """New values by name."""


class MetadataBody(Body):
    """Which metadata to read, of which runs."""

    include: Include
    run_key: Annotated[list[RunKey], Field(min_length=1, max_length=MAX_RUN_KEYS)]
    ignorable: bool = False


class Pop(Body):
    """Which elements of a list to remove."""

    object_type: Literal["first", "last", "all"]
    value: Any = None


class MetadataUpdateBody(Body):
    """Assign, append, remove."""

    set: dict[str, Any] | None = None
    push: dict[str, Any] | None = None
    pop: dict[str, Pop] | None = None


class Actionable(Body):
    """One action. Without ``objectType``, a value makes it a set and arguments an execute."""

    object_type: Literal["execute", "get", "set"] | None = None
    name: Name
    arguments: list[Any] | None = None
    value: Any = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Actionable":
        given = self.model_fields_set
        if self.object_type is None and ("value" in given) == ("arguments" in given):
            raise ValueError("without objectType an action has either value (set) or arguments (execute)")
        if self.kind != "set" and "value" in given:
            raise ValueError(f"value: is not for {self.kind}")
        if self.kind != "execute" and "arguments" in given:
            raise ValueError(f"arguments: is not for {self.kind}")
        if self.kind == "set" and "value" not in given:
            raise ValueError("value: is missing")
        return self

    @property
    def kind(self) -> str:
        """execute, get or set, said or meant."""
        return self.object_type or ("set" if "value" in self.model_fields_set else "execute")

    def action(self) -> dict[str, Any]:
        """The action in the worker's spelling."""
        if self.kind == "set":
            return {"kind": "set", "name": self.name, "value": self.value}
        if self.kind == "get":
            return {"kind": "get", "name": self.name}
        return {"kind": "execute", "name": self.name, "arguments": self.arguments or []}


class ActionsBody(RootModel[list[Actionable]]):
    """Actions, performed in this order."""


class AnyBody(RootModel[Any]):
    """Anything; what it is for is not served."""


class AssignBody(Body):
    """The run that a world is to have."""

    run_key: RunKey


class WorldBody(Body):
    """What of a world is to change; a worker holds its run only."""

    run_key: RunKey | None = None
    display_name: str | None = None
    allow_channel: bool | None = None


class Query(BaseModel):
    """What stands behind the question mark; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_CAMEL)

    lists: ClassVar[frozenset[str]] = frozenset({"runKey"})
    """Parameters that may be given several times."""

    timeout: Timeout | None = None


class RitualQuery(Query):
    """How a run that is not in memory is brought back."""

    ritual: Ritual | None = None


class ManyQuery(Query):
    """Several runs, by the same name again and again."""

    run_key: Annotated[list[RunKey], Field(min_length=1, max_length=MAX_RUN_KEYS)]


class ManyRitualQuery(RitualQuery, ManyQuery):
    """Several runs; the worker takes EXORCISE only."""


class RunsQuery(Query):
    """Which runs, in what order, with which of their stored values."""

    filter: str | None = None
    sort: str | None = None
    var: Annotated[str, Field(description="variables, joined by `;`")] = ""
    meta: Annotated[str, Field(description="metadata, joined by `;`")] = ""
    first: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=1)] = 100


class RunQuery(RunsQuery):
    """Which runs of a place."""

    include_episodes: bool = False


class HistoryQuery(Query):
    """Which entries: those behind ``afterSeq``, in their order."""

    after_seq: Annotated[int, Field(ge=0, lt=2**63)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class EventsQuery(Query):
    """Which events: those behind ``afterEvent``, in their order; a page may end before ``limit``."""

    after_event: Annotated[int, Field(ge=0, lt=2**63)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class WorldQuery(Query):
    """Which worlds."""

    mine: bool = False
