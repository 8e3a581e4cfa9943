"""Calls of external functions, as a worker sends them to providers, and parts of what these say."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol.entities import Entity

CALL_TYPE = "function_call"


class FunctionCall(BaseModel):
    """A model calls; the answer belongs to ``call_id``, which stays the same where the same request is done again.

    ``service_version``: the version that the context names, if it does. ``options``: all that it says of the function.
    ``deadline_seconds``: how long anybody waits for the answer, from the sending of this message.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Literal[1]
    type: Literal["function_call"]
    call_id: str
    service: str
    service_version: str | None = None
    name: str
    arguments: Any
    options: dict[str, Any] = Field(default_factory=dict)
    run_key: str
    project: str | None = None
    model_file: str
    address: dict[str, Any] | None = None
    actor: dict[str, Any] | None = None
    request_id: str
    deadline_seconds: float


class FunctionService(Entity):
    """What a provider answers for: a service, in one version or in all."""

    service: Annotated[str, Field(min_length=1, max_length=128)]
    version: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class FunctionFailure(Entity):
    """Why a call has no result, for the model."""

    message: Annotated[str, Field(max_length=2048)]
    code: Annotated[str, Field(min_length=1, max_length=64)] | None = None
