"""What requests share: their envelope, what names one run or many, what describes a new one."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from protocol.entities import Actor, Address, Entity, Key, Permit, ProjectName, Ritual, RunKey

VERSION = 1
MAX_RUN_KEYS = 1000

RequestId = Annotated[str, Field(min_length=1, max_length=64)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=10_000)]
ModelFile = Annotated[str, Field(min_length=1, max_length=1024)]
Reasoning = Annotated[str, Field(min_length=1, max_length=4096)]
"""Why a caller wants something, in his own words; kept with the traces of a run that has some."""
Context = dict[str, Any]
RitualField = Annotated[Ritual, Field(strict=False)]
RunKeys = Annotated[list[RunKey], Field(min_length=1, max_length=MAX_RUN_KEYS)]


class Request(Entity):
    """The envelope that all requests share."""

    changes_state: ClassVar[bool] = False
    """Whether the request is answered once per ``request_id`` and its outcome stored."""

    version: Literal[1] = 1
    request_id: RequestId
    deadline_seconds: Seconds | None = None
    actor: Actor | None = None
    traceparent: Annotated[str, Field(max_length=128)] | None = None
    project: ProjectName | None = None

    @property
    def project_name(self) -> str:
        """The project that a request names; "" is the default one, or that of the run it names."""
        return self.project or ""


class RunRequest(Request):
    """A request to exactly one run."""

    run_key: RunKey


class ManyRunRequest(Request):
    """A request to one run (``run_key``) or, side by side, to many (``run_keys``)."""

    run_key: RunKey | None = None
    run_keys: RunKeys | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "ManyRunRequest":
        if (self.run_key is None) == (self.run_keys is None):
            raise ValueError("exactly one of run_key and run_keys must be given")
        if self.run_keys is not None and len(set(self.run_keys)) != len(self.run_keys):
            raise ValueError("run_keys names a run twice")
        return self


class RitualRequest(ManyRunRequest):
    """A request that a ritual may bring a run back for; absent means REANIMATE (EXORCISE for many)."""

    ritual: RitualField | None = None


class NewRun(Request):
    """A request that may start a new run of a model file: what that run is to be."""

    changes_state: ClassVar[bool] = True
    model_file: ModelFile
    permit: Permit | None = None
    tracking_key: Key | None = None
    model_context: Context | None = None
    execution_context: Context | None = None
    ephemeral: bool = False
    allow_channel: bool = False
    perpetual: bool = False
    grammar: Annotated[str, Field(max_length=1024)] | None = None
    metadata: dict[str, Any] | None = None
    address: Address | None = None
