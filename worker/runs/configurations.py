"""Named, versioned presets of what a started run is: judged, and laid over a request to start one."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from protocol.actions import Action
from protocol.entities import Entity
from protocol.errors import ErrorCode
from protocol.profiles import AttachedFunction, StartRun
from worker.errors import RequestError
from worker.runs.contexts import refused_property

FILE_NAME: Final = re.compile(r"(?P<id>[A-Za-z0-9_-]{1,128})\.(?P<version>[1-9][0-9]{0,8})\.json")
CONTENT: Final = (
    *("prompt", "actions", "attached_functions", "result_schema", "result_mode", "context", "model_context"),
)
"""What a configuration decides where it says anything of it."""
FLAGS: Final = ("interactive", "reasoning_traces", "call_summarization", "ttl_seconds", "name", "tags")
"""What the request decides where it says anything of it."""


class RunConfiguration(Entity):
    """What a file ``<id>.<version>.json`` holds; a field that is absent says nothing, an empty list says it is empty.

    ``model_file``: the only one that it is for. ``input_schema``: the JSON Schema of the input that it is used with.
    ``execution_context``: its presets are laid over those of a request. The rest as in ``start_run``.
    """

    description: Annotated[str, Field(max_length=4096)] | None = None
    model_file: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    input_schema: dict[str, Any] | bool | None = None
    prompt: Annotated[str, Field(min_length=1, max_length=65_536)] | None = None
    actions: Annotated[list[Action], Field(max_length=1000)] | None = None
    attached_functions: Annotated[list[AttachedFunction], Field(min_length=1, max_length=1000)] | None = None
    result_schema: dict[str, Any] | bool | None = None
    result_mode: Literal["null", "strict"] | None = None
    context: dict[str, Any] | None = None
    model_context: dict[str, Any] | None = None
    execution_context: dict[str, Any] | None = None
    interactive: bool | None = None
    reasoning_traces: bool | None = None
    call_summarization: bool | None = None
    ttl_seconds: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    tags: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=64)] | None
    ) = None


def configuration(source: str, raw: Any) -> RunConfiguration:
    """Judge what a file holds; ``source`` says where it comes from, for messages.

    Raises:
        RequestError: INVALID_CONTEXT naming file and property.
    """
    try:
        return RunConfiguration.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise refused_property(source, path, first["msg"]) from error


def configured(request: StartRun, config: RunConfiguration, model_file: str) -> StartRun:
    """The request with a configuration laid over it: the configuration wins for content, the request for flags.

    Raises:
        RequestError: INVALID_REQUEST for another model than the configuration's, or for two inputs.
    """
    if config.model_file is not None and config.model_file != model_file:
        message = f"config: it is for the model {config.model_file}, not for {model_file:.200}"
        raise RequestError(ErrorCode.INVALID_REQUEST, message, path="config.id")
    changes: dict[str, Any] = {
        name: value for name in CONTENT if (value := getattr(config, name)) is not None
    }
    changes |= {
        name: value
        for name in FLAGS
        if getattr(request, name) is None and (value := getattr(config, name)) is not None
    }
    if config.execution_context is not None:
        changes["execution_context"] = _overlaid(request.execution_context or {}, config.execution_context)
    asked = None if request.config is None else request.config.input
    if asked is not None:
        if request.data is not None:
            message = "data: config.input is the data of a run that is configured; leave one of them out"
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path="data")
        changes["data"] = asked
    return request.model_copy(update=changes)


def _overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """An execution context over another; presets and mapped files name by name."""
    maps = {
        name: {**below[name], **above[name]}
        for name in ("presets", "mappedFiles")
        if isinstance(below.get(name), dict) and isinstance(above.get(name), dict)
    }
    return {**below, **above, **maps}
