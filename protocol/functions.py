"""Calls of external functions, as a worker sends them to providers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    model_file: str
    address: dict[str, Any] | None = None
    actor: dict[str, Any] | None = None
    request_id: str
    deadline_seconds: float
