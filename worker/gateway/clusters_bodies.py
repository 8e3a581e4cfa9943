"""What the API of clusters reads: runs that are created with a first message, and told more by messages."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from protocol.entities import Key
from protocol.envelope import Reasoning
from protocol.profiles import Name, RunId
from worker.gateway.bodies import Actionable, Body, Query
from worker.gateway.composable_bodies import TracesQuery

MEANINGLESS: Final = {
    "model": "it names a language model; a run's code is its modelFile",
    "systemPrompt": "a model file is no language model",
    "template": "it is called config",
    "learnings": "there is no agent to learn",
}
"""Names of the vendor's that have no meaning for a host of Python models, and why."""

WaitTime = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
Prompt = Annotated[str, Field(min_length=1, max_length=65_536)]


class FunctionBody(Body):
    """An operation: of which model, and which."""

    service: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    function: Annotated[str, Field(min_length=1, max_length=256)]


class StatusTargetBody(Body):
    """Who is told each time the status of the run changes."""

    function: FunctionBody | None = None
    webhook: Annotated[str, Field(min_length=8, max_length=2048)] | None = None
    statuses: Annotated[list[str], Field(min_length=1, max_length=6)] | None = None


class ConfigBody(Body):
    """A run configuration, by its name."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    version: Annotated[int, Field(ge=1)] | None = None
    input: Any = None


class MockBody(Body):
    """What an external function answers, whatever it is asked."""

    output: Any


class TestBody(Body):
    """Whether a run is a test, and what external functions of its model answer it instead of their providers."""

    __test__ = False

    enabled: bool = False
    mocks: Annotated[dict[Key, MockBody], Field(max_length=100)] | None = None

    @model_validator(mode="after")
    def _mocks_are_for_tests(self) -> "TestBody":
        if self.mocks and not self.enabled:
            raise ValueError("mocks: they are for tests; say enabled true, or leave them out")
        return self


class ClusterRunBody(Body):
    """A new run: of a model file, or of a configuration that names one."""

    model_file: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    initial_prompt: Prompt | Annotated[list[Actionable], Field(min_length=1, max_length=1000)] | None = None
    name: Name | None = None
    config: ConfigBody | None = None
    result_schema: dict[str, Any] | None = None
    attached_functions: list[FunctionBody] | None = None
    on_status_change: StatusTargetBody | None = None
    metadata: dict[Key, str] | None = None
    test: TestBody | None = None
    context: dict[str, Any] | None = None
    reasoning_traces: bool | None = None
    call_summarization: bool | None = None
    interactive: bool | None = None
    id: RunId | None = None
    run_id: RunId | None = None
    wait_time: WaitTime | None = None

    @model_validator(mode="before")
    @classmethod
    def _meaningful(cls, data: Any) -> Any:
        for name in data if isinstance(data, dict) else ():
            if name in MEANINGLESS:
                raise ValueError(f"{name}: has no meaning here: {MEANINGLESS[name]}")
        return data

    @model_validator(mode="after")
    def _sound(self) -> "ClusterRunBody":
        if self.model_file is None and self.config is None:
            raise ValueError("modelFile or config: one of them says what is run")
        if self.id is not None and self.run_id is not None and self.id != self.run_id:
            raise ValueError("id and runId differ")
        if self.attached_functions == []:
            raise ValueError("attachedFunctions: is empty; leave it out to attach all that are public")
        return self


class MessageBody(Body):
    """A follow-up: a text for the operation that takes prompts, or actions. ``id``: the same message once only.

    ``busy``: what becomes of it while the run does something: it waits its turn, or is refused.
    """

    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,26}$")] | None = None
    message: Prompt | Annotated[list[Actionable], Field(min_length=1, max_length=1000)]
    type: Literal["human", "supervisor"] = "human"
    reasoning: Reasoning | None = None
    busy: Literal["queue", "reject"] = "queue"


class EditBody(Body):
    """What stands in the place of a message, and of all that came after it."""

    message: Prompt | Annotated[list[Actionable], Field(min_length=1, max_length=1000)]


class RetryBody(Body):
    """The message from which on to do it again."""

    message_id: Annotated[str, Field(min_length=1, max_length=128)]


class ApprovalBody(Body):
    """Yes or no."""

    approved: bool


class FeedbackBody(Body):
    """What people think of the run; null leaves a part as it is."""

    comment: Annotated[str, Field(max_length=4096)] | None = None
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, data: Any) -> Any:
        return data


class ClusterListQuery(Query):
    """Which runs of a cluster."""

    lists: ClassVar[frozenset[str]] = frozenset({"metadata"})

    user_id: Annotated[str, Field(max_length=128)] | None = None
    test: Literal["true", "false"] = "false"
    limit: Annotated[int, Field(ge=10, le=50)] = 50
    metadata: tuple[str, ...] = ()
    config_id: Annotated[str, Field(max_length=128)] | None = None
    status: str | None = None


class WaitQuery(Query):
    """How long the answer may wait for the run to come to rest."""

    model_config = ConfigDict(strict=False)

    wait_time: WaitTime | None = None


class MessagesQuery(Query):
    """A page of messages, behind the one named."""

    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    wait_time: WaitTime | None = None


class ClusterTracesQuery(TracesQuery):
    """A page of traces, behind the action named."""

    model_config = ConfigDict(alias_generator=to_camel)


class TimelineQuery(Query):
    """Positions behind which to tell."""

    messages_after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    activity_after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    jobs_after: Annotated[int, Field(ge=0, lt=2**63)] = 0
