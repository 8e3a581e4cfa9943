"""What the API of clusters answers."""

from typing import Any, Literal

from pydantic import ConfigDict, RootModel
from pydantic.alias_generators import to_camel

from protocol import entities
from worker.gateway import answers
from worker.gateway.answers import NULLS, CamelAnswer

Status = Literal["pending", "running", "paused", "done", "failed"]
ResultType = Literal["resolution", "rejection"]


class WholeAnswer(CamelAnswer):
    """A closed object; what there is not is null."""

    model_config = ConfigDict(json_schema_extra={NULLS: True})


class Reason(CamelAnswer):
    """What went wrong, and its code."""

    message: str
    code: str


class Refused(CamelAnswer):
    """A request that failed."""

    error: Reason


class Mistake(WholeAnswer):
    """Something that is wrong with a request, and where."""

    path: str | None
    error: str


class Unreadable(CamelAnswer):
    """A request that cannot be read: 400."""

    message: str
    code: str
    errors: list[Mistake]


class Fault(RootModel[Refused | Unreadable]):
    """What went wrong."""


class Started(WholeAnswer):
    """A run that goes on by itself; ``created``: whether it is a new one."""

    id: str
    status: Status
    result: Any
    created: bool


class ListedRun(WholeAnswer):
    """A run in a list."""

    id: str
    name: str
    user_id: str | None
    created_at: str
    status: Status
    test: bool
    config_id: str | None
    config_version: int | None
    feedback_score: float | None


class Function(CamelAnswer):
    """An operation that the run may be asked for."""

    service: str
    function: str


class Waiting(WholeAnswer):
    """A call that waits for approval; ``id`` is what is decided on."""

    id: str
    status: Literal["pending"]
    target_fn: str
    arguments: list[Any]
    approval_requested: Literal[True]
    reason: str | None
    roles: list[str]


class Run(ListedRun):
    """A run, whole; ``attachedFunctions`` null: all that are public."""

    run_key: str
    failure_reason: str | None
    feedback_comment: str | None
    result: Any
    result_errors: Any
    metadata: dict[str, Any]
    attached_functions: list[Function] | None
    context: dict[str, Any] | None
    interactive: bool | None
    reasoning_traces: bool | None
    call_summarization: bool | None
    waiting: list[Waiting]


class Input(CamelAnswer):
    """What an operation was called with, or a variable was set to."""

    arguments: list[Any] | None = None
    value: Any = None


class Invocation(CamelAnswer):
    """What was asked, and what came of it."""

    id: str
    tool_name: str
    input: Input
    result_type: ResultType
    result: Any


class Message(CamelAnswer):
    """An action of the history; its id is the entry's number."""

    id: str
    type: Literal["invocation-result"]
    created_at: str
    data: Invocation


class Said(WholeAnswer):
    """What came of a message."""

    id: str | None
    result: Any


class Kept(Said):
    """A message that is performed once what it waits for is decided on."""

    status: Literal["paused"]
    waiting: list[str]


class Job(WholeAnswer):
    """An action of the history as a job that was done."""

    id: str
    status: Literal["success"]
    target_fn: str
    result_type: ResultType
    created_at: str
    approved: bool | None


class Activity(CamelAnswer):
    """Something that happened to the run."""

    id: int
    type: str
    created_at: str
    status: Status | None = None


class Timeline(CamelAnswer):
    """What is new of a run."""

    messages: list[Message]
    jobs: list[Job]
    activity: list[Activity]
    run: Run
    blobs: list[Any]


class Actor(entities.Actor):
    """Who asked."""

    model_config = ConfigDict(alias_generator=to_camel)


class Trace(answers.Trace):
    """What a recorded action took, changed and printed."""

    model_config = ConfigDict(alias_generator=to_camel)

    actor: Actor | None = None


class Traces(CamelAnswer):
    """A page of traces."""

    traces: list[Trace]
    head_seq: int
