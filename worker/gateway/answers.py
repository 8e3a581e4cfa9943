"""What answers are described by in OpenAPI documents; answers themselves are made by the views, and not judged by these.

An object that a view makes field by field is closed. One that is passed on from the worker is not, as later workers
may add fields.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from protocol.entities import Actor

NULLS: Final = "x-nulls"
"""In the schema of an object whose fields are null where there is nothing; in others they are left out then."""


class Answer(BaseModel):
    """A closed object; what there is not is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CamelAnswer(Answer):
    """A closed object whose names are in camel case; what there is not is left out."""

    model_config = ConfigDict(alias_generator=to_camel)


class WholeAnswer(Answer):
    """A closed object; what there is not is null."""

    model_config = ConfigDict(json_schema_extra={NULLS: True})


class PassedOn(BaseModel):
    """An object that comes from the worker; what there is not is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Failure(PassedOn):
    """Why something failed; ``information`` depends on the code."""

    code: str
    message: str
    information: dict[str, Any] | None = None


class Trace(PassedOn):
    """What a recorded action took, changed and printed."""

    action_id: str
    seq: int
    request_id: str | None = None
    batch: int
    kind: Literal["execute", "set"]
    name: str
    reasoning: str | None = None
    actor: Actor | None = None
    origin: Literal["initial", "call", "approval"]
    queued_at: str
    started_at: str
    ended_at: str
    cpu_ms: float
    outcome: Literal["completed", "error"]
    exception: dict[str, str] | None = None
    variables_changed: list[str]
    variables_left_out: int | None = None
    output: str | None = None


class Traces(Answer):
    """A page of traces."""

    traces: list[Trace]
    head_seq: int
