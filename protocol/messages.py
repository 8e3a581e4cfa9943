"""Requests and replies between client and worker, one class per request type.

Every request refuses unknown fields by name and coerces nothing. Model contexts, execution contexts and
presets travel verbatim in Epicenter's own spelling and are judged by the worker, not here.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.actions import Action
from protocol.entities import Key, Morphology, Permit, PopMetadata, Ritual, Scope
from protocol.envelope import (
    VERSION,
    Context,
    ManyRunRequest,
    ModelFile,
    Names,
    NewRun,
    Reasoning,
    Request,
    RitualRequest,
    RunRequest,
)
from protocol.functions import FunctionFailure, FunctionService
from protocol.profiles import (
    AttachedFunction,
    DecideAction,
    DeleteRun,
    FacetRuns,
    FindRuns,
    GetProfile,
    ListDeliveries,
    ReadResult,
    ReadTraces,
    Redeliver,
    SearchRuns,
    StartRun,
    UpdateProfile,
)
from protocol.sharing import (
    AssignWorldRun,
    CloseWorldRun,
    CreateSingularRun,
    GetRunWithStrategy,
    GetSingularRunKey,
    OpenWorldRun,
)

__all__ = ["VERSION", "ManyRunRequest", "NewRun", "Request", "RitualRequest", "RunRequest"]


class Ping(Request):
    """Ask whether the worker is there."""

    type: Literal["ping"]


class WorkerStatus(Request):
    """What the worker holds and how it does."""

    type: Literal["worker_status"]


class Drain(Request):
    """Evict all runs, refuse new ones, then exit."""

    type: Literal["drain"]
    grace_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Drain":
        if self.project is not None:
            raise ValueError("project: a drain is of the whole worker; leave project out")
        return self


class CreateRun(NewRun):
    """Start a new run of a model file."""

    type: Literal["create_run"]
    scope: Scope | None = None
    morphology: Morphology = "MANY"


class GetRun(RunRequest):
    """The run's record; never starts a process."""

    type: Literal["get_run"]


class QueryRuns(Request):
    """Find runs by where they are and what is stored of them; never starts a process."""

    type: Literal["query_runs"]
    model_file: ModelFile | None = None
    scope: Scope | None = None
    group_name: Key | None = None
    episode_name: Key | None = None
    include_episodes: bool = False
    filter: Annotated[str, Field(max_length=8192)] | None = None
    sort: Annotated[str, Field(max_length=1024)] | None = None
    variables: Names | None = None
    metadata: Names | None = None
    first: Annotated[int, Field(ge=0, lt=2**63)] = 0
    max: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _one_place(self) -> "QueryRuns":
        if self.scope is not None and self.group_name is not None:
            raise ValueError("at most one of scope and group_name may be given")
        if self.episode_name is not None and self.group_name is None:
            raise ValueError("episode_name needs group_name")
        if self.include_episodes and (self.group_name is None or self.episode_name is not None):
            raise ValueError("include_episodes needs group_name without episode_name")
        return self


class UpdateRun(ManyRunRequest):
    """Change attributes of a run; closing ends it for good."""

    changes_state: ClassVar[bool] = True
    type: Literal["update_run"]
    permit: Permit | None = None
    tracking_key: Key | None = None
    marked: bool | None = None
    hidden: bool | None = None
    closed: bool | None = None
    allow_channel: bool | None = None


class EvictRun(ManyRunRequest):
    """Take a run out of memory; idempotent, deletes nothing durable."""

    type: Literal["evict_run"]


class RestoreRun(RunRequest):
    """Bring a run into memory by replay."""

    changes_state: ClassVar[bool] = True
    type: Literal["restore_run"]
    model_context: Context | None = None
    execution_context: Context | None = None
    ephemeral: bool = False


class RewindRun(RunRequest):
    """Go back by a number of marked steps, or to a sequence number."""

    changes_state: ClassVar[bool] = True
    type: Literal["rewind_run"]
    rewind_count: int | None = None
    to_seq: int | None = None
    model_context: Context | None = None
    ephemeral: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> "RewindRun":
        if (self.rewind_count is None) == (self.to_seq is None):
            raise ValueError("exactly one of rewind_count and to_seq must be given")
        return self


class CopyRequest(RunRequest):
    """Copy a run, as it is or as it was at ``at_seq``, under a new key; the source stays as it is.

    ``attached_functions``: some of those that the source may be asked for.
    """

    changes_state: ClassVar[bool] = True
    tracking_key: Key | None = None
    model_context: Context | None = None
    execution_context: Context | None = None
    ephemeral: bool | None = None
    at_seq: int | None = None
    attached_functions: Annotated[list[AttachedFunction], Field(min_length=1, max_length=1000)] | None = None


class CloneRun(CopyRequest):
    """A copy in the scope of its source."""

    type: Literal["clone_run"]


class MigrateRun(CopyRequest):
    """A copy in the scope of an episode."""

    type: Literal["migrate_run"]
    episode_key: Key


class CallOperation(RitualRequest):
    """Call one operation of the model."""

    changes_state: ClassVar[bool] = True
    type: Literal["call_operation"]
    name: Annotated[str, Field(min_length=1, max_length=256)]
    arguments: list[Any] = Field(default_factory=list)
    reasoning: Reasoning | None = None


class ReadVariables(RitualRequest):
    """Read variables from the process or the archive, as the ritual says."""

    type: Literal["read_variables"]
    names: Names
    ignorable: bool = False


class WriteVariables(RitualRequest):
    """Assign variables, in the order of the map."""

    changes_state: ClassVar[bool] = True
    type: Literal["write_variables"]
    values: Annotated[dict[Annotated[str, Field(min_length=1, max_length=256)], Any], Field(min_length=1)]
    reasoning: Reasoning | None = None


class PerformActions(RitualRequest):
    """Perform actions in order; stops at the first error."""

    changes_state: ClassVar[bool] = True
    type: Literal["perform_actions"]
    actions: Annotated[list[Action], Field(min_length=1, max_length=10_000)]
    reasoning: Reasoning | None = None


class ReadMetadata(ManyRunRequest):
    """Read metadata, which the worker keeps outside the model."""

    type: Literal["read_metadata"]
    names: Names
    ignorable: bool = False


class UpdateMetadata(ManyRunRequest):
    """Change metadata: ``set`` assigns, ``push`` appends to a list, ``pop`` removes from a list."""

    changes_state: ClassVar[bool] = True
    type: Literal["update_metadata"]
    set: dict[str, Any] | None = None
    push: dict[str, Any] | None = None
    pop: dict[str, PopMetadata] | None = None

    @model_validator(mode="after")
    def _something(self) -> "UpdateMetadata":
        if not (self.set or self.push or self.pop):
            raise ValueError("one of set, push and pop must name something")
        return self


class ReadHistory(RunRequest):
    """Read log entries, rewound ones included and marked."""

    type: Literal["read_history"]
    after_seq: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class ListModels(Request):
    """Which model files there are below the root of a project."""

    type: Literal["list_models"]


class IntrospectModel(Request):
    """What a model offers: told by a process that is ended afterwards; no run comes of it."""

    type: Literal["introspect_model"]
    model_file: ModelFile


class IntrospectRun(RunRequest):
    """What the model of a run offers; the run itself is not brought into memory."""

    type: Literal["introspect_run"]


class ReadEvents(RunRequest):
    """Read what the event socket told of a run, from the number after ``after_event`` on."""

    type: Literal["read_events"]
    after_event: Annotated[int, Field(ge=0, lt=2**63)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class ServeFunctions(Request):
    """Answer calls of external functions over this connection, until the lease ends; nothing: no more of them."""

    type: Literal["serve_functions"]
    services: Annotated[list[FunctionService], Field(max_length=64)]
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 16
    lease_seconds: Annotated[float, Field(ge=1, le=300, allow_inf_nan=False)] = 15.0

    @model_validator(mode="after")
    def _whole(self) -> "ServeFunctions":
        if self.project is not None:
            raise ValueError("project: a provider answers runs of all projects; leave project out")
        return self


class AnswerFunction(Request):
    """The answer to a call that this connection was given."""

    type: Literal["answer_function"]
    call_id: Annotated[str, Field(min_length=1, max_length=64)]
    result: Any = None
    error: FunctionFailure | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "AnswerFunction":
        if self.error is not None and self.result is not None:
            raise ValueError("at most one of result and error may be given")
        return self


ServedRequest = (
    Ping
    | WorkerStatus
    | Drain
    | CreateRun
    | GetRun
    | QueryRuns
    | UpdateRun
    | EvictRun
    | RestoreRun
    | RewindRun
    | CloneRun
    | MigrateRun
    | CreateSingularRun
    | GetSingularRunKey
    | OpenWorldRun
    | CloseWorldRun
    | AssignWorldRun
    | GetRunWithStrategy
    | CallOperation
    | ReadVariables
    | WriteVariables
    | PerformActions
    | ReadMetadata
    | UpdateMetadata
    | ReadHistory
    | ListModels
    | IntrospectModel
    | IntrospectRun
    | ReadEvents
    | ReadResult
    | ReadTraces
    | ListDeliveries
    | Redeliver
    | StartRun
    | GetProfile
    | UpdateProfile
    | DeleteRun
    | SearchRuns
    | FindRuns
    | FacetRuns
    | DecideAction
)
"""What is answered alike whatever connection it comes by."""

AnyRequest = Annotated[ServedRequest | ServeFunctions | AnswerFunction, Field(discriminator="type")]


class ServedFrom(BaseModel):
    """How a single-run request was served, beside its result."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    run_key: str
    served_from: Literal["memory", "restored", "archive"]
    ritual: Ritual | None = None
    seq: int


class Reply(BaseModel):
    """What comes back: a result, or an error, never both."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    request_id: str | None
    ok: bool
    result: Any = None
    run: ServedFrom | None = None
    warnings: list[dict[str, Any]] = Field(default_factory=list)
    error: dict[str, Any] | None = None
