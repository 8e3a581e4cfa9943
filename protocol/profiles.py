"""What makes a run findable and lets it take its own course: requests about the profile of a run.

A run that is *started* (``start_run``) is durable when it is answered and comes up by itself; its profile says what
it was asked to do, how far that has come, and who is told. Every run has a profile, also one that ``create_run`` made.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from protocol.actions import Action
from protocol.entities import Entity, Key, RunKey, RunStatus, Scope
from protocol.envelope import NewRun, Request, RunRequest
from protocol.vocabularies import Words

RUN_ID: Final = r"^[0-9A-Za-z_.-]{4,128}$"
"""A run id that a caller chose; 36 letters and digits would be a run key, and are refused."""

RunId = Annotated[str, Field(pattern=RUN_ID)]
Tag = Annotated[str, Field(min_length=1, max_length=128)]
Tags = Annotated[list[Tag], Field(max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Status = Annotated[RunStatus, Field(strict=False)]
WaitSeconds = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
MAX_PAGE: Final = 200


class Source(Entity):
    """Where a run came from, as an API tier knows it of an authenticated request; never what a caller says of himself."""

    type: Literal["api", "cli", "ui", "webhook", "test-data", "system", "schedule"] = "api"
    label: Annotated[str, Field(max_length=256)] = ""
    principal_type: Annotated[str, Field(max_length=64)] = ""
    principal_id: Annotated[str, Field(max_length=256)] = ""
    client_ip: Annotated[str, Field(max_length=64)] = ""


class Configured(Entity):
    """A run configuration, by the name it has beside the models; without a version the newest."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    version: Annotated[int, Field(ge=1)] | None = None
    input: Any = None


class AttachedFunction(Entity):
    """An operation that a run may be asked for; ``service`` is the model it belongs to, absent for the run's own."""

    service: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    function: Annotated[str, Field(min_length=1, max_length=256)]


class StatusTarget(Entity):
    """Who is told of a status: a function that a provider serves, an operation of a handler model, or a web address.

    ``words``: what statuses are called there (``worker`` unless given); what has the same word is no change.
    """

    function: AttachedFunction | None = None
    webhook: Annotated[str, Field(min_length=8, max_length=2048)] | None = None
    statuses: Annotated[list[Status], Field(min_length=1, max_length=6)] | None = None
    words: Words | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "StatusTarget":
        if (self.function is None) == (self.webhook is None):
            raise ValueError("exactly one of function and webhook must be given")
        return self


class Evaluation(Entity):
    """What people think of a run: scores from 0 to 1, a comment, whether it was chosen."""

    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    scores: dict[Key, float] | None = None
    selected: bool | None = None
    comment: Annotated[str, Field(max_length=4096)] | None = None


class Mock(Entity):
    """What an external function answers in a test, whatever it is asked."""

    output: Any


def interaction_of(model_file: str) -> tuple[str, str | None]:
    """The path of a model file and what stands behind its last ``@``: which revision of it is meant.

    ``market/model.py@2`` is ``("market/model.py", "2")``. Only a name that ends in ``.py`` before the ``@`` has one;
    what the words mean is ``worker.runs.revisions``.
    """
    path, at, tag = model_file.rpartition("@")
    return (path, tag) if at and path.endswith(".py") else (model_file, None)


class StartRun(NewRun):
    """Start a run that comes up by itself: durable when answered, then loaded, then asked its initial actions.

    A ``run_id`` that there is already gives the run of that id. ``wait_seconds``: how long the answer may wait for
    the run to be ready, paused or failed. ``actions`` are performed in order after loading, behind the one that
    ``data`` or ``prompt`` becomes. ``context`` is given to the model, frozen, at loading and in every call. ``mocks``: what
    external functions answer a test, by their names in the model's context, instead of asking their providers.
    """

    type: Literal["start_run"]
    scope: Scope | None = None
    run_id: RunId | None = None
    name: Name | None = None
    tags: Tags | None = None
    parent: RunKey | None = None
    source: Source | None = None
    created_by: Annotated[str, Field(max_length=256)] | None = None
    config: Configured | None = None
    data: Any = None
    prompt: Annotated[str, Field(min_length=1, max_length=65_536)] | None = None
    actions: Annotated[list[Action], Field(max_length=1000)] | None = None
    result_schema: dict[str, Any] | bool | None = None
    result_mode: Literal["null", "strict"] | None = None
    attached_functions: Annotated[list[AttachedFunction], Field(min_length=1, max_length=1000)] | None = None
    interactive: bool | None = None
    reasoning_traces: bool | None = None
    call_summarization: bool | None = None
    on_status_change: StatusTarget | None = None
    context: dict[str, Any] | None = None
    ttl_seconds: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    test: bool | None = None
    mocks: Annotated[dict[Key, Mock], Field(min_length=1, max_length=100)] | None = None
    wait_seconds: WaitSeconds | None = None

    @model_validator(mode="after")
    def _mocks_are_for_tests(self) -> "StartRun":
        if self.mocks is not None and not self.test:
            raise ValueError("mocks: they are for tests; say test true, or leave them out")
        return self


class GetProfile(Request):
    """The profile of a run, by its key or the id its caller chose; ``wait_seconds``: for it to come to rest."""

    type: Literal["get_profile"]
    run_key: RunKey | None = None
    run_id: RunId | None = None
    wait_seconds: WaitSeconds | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "GetProfile":
        if (self.run_key is None) == (self.run_id is None):
            raise ValueError("exactly one of run_key and run_id must be given")
        return self


class UpdateProfile(RunRequest):
    """Change what people say of a run; its status is the worker's own. ``detach``: it has no parent any more."""

    changes_state: ClassVar[bool] = True
    type: Literal["update_profile"]
    name: Name | None = None
    tags: Tags | None = None
    evaluation: Evaluation | None = None
    ttl_seconds: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    detach: bool = False


class DeleteRun(RunRequest):
    """Delete a run with all that is kept of it, once it has left memory; its children stay."""

    changes_state: ClassVar[bool] = True
    type: Literal["delete_run"]


Texts = Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=500)]
Statuses = Annotated[list[Status], Field(max_length=6)]


class SearchQuery(Entity):
    """Which runs to look for. Lists match any of their items, unless said otherwise; fields must all match.

    ``tags``: all of them; ``any_tags``: one of them. ``name``: a part of it, whatever its case. ``query``: words that
    must all occur in name, tags, error or result. ``run_ids``: ids or keys. ``finish_reason``: "none" for runs
    without one. ``test``: True for tests, which are left out otherwise. ``parent``: runs of these parents, or False for runs without one. ``start`` and ``end``: on creation,
    both inclusive, ISO-8601. ``metadata``: names to the texts that values must have.
    """

    name: Annotated[str, Field(max_length=256)] | None = None
    status: Statuses | None = None
    interaction: Texts | None = None
    environment: Texts | None = None
    model: Texts | None = None
    tags: Texts | None = None
    any_tags: Texts | None = None
    exclude_tags: Texts | None = None
    query: Annotated[str, Field(max_length=1024)] | None = None
    parent: Texts | Literal[False] | None = None
    object: Annotated[str, Field(max_length=128)] | None = None
    start: str | None = None
    end: str | None = None
    finish_reason: Texts | None = None
    created_by: Texts | None = None
    config: Texts | None = None
    run_ids: Texts | None = None
    run_keys: Annotated[list[RunKey], Field(max_length=1000)] | None = None
    metadata: Annotated[dict[Key, str], Field(max_length=64)] | None = None
    test: bool | None = None


SortField = Literal["created_at", "updated_at", "name", "status", "execution_time"]


class Order(Entity):
    """A field to sort by."""

    field: SortField
    order: Literal["asc", "desc"] = "desc"


class SearchRuns(Request):
    """Find runs by their profiles, newest change first unless sorted otherwise; refs leave out what is large."""

    type: Literal["search_runs"]
    query: SearchQuery | None = None
    sort: Annotated[list[Order], Field(max_length=5)] | None = None
    first: Annotated[int, Field(ge=0, lt=2**63)] = 0
    max: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100


class FindRuns(Request):
    """Find runs by a document of operators, and give the fields that ``select`` names."""

    type: Literal["find_runs"]
    filter: dict[str, Any]
    select: Annotated[str, Field(max_length=2048)] | None = None
    sort: Annotated[list[Order], Field(max_length=5)] | None = None
    first: Annotated[int, Field(ge=0, lt=2**63)] = 0
    max: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100


class Facet(Entity):
    """A field to count the values of, under a name that the caller chose."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    field: Annotated[str, Field(min_length=1, max_length=128)]


class FacetRuns(Request):
    """Count the runs that match, by the values of each field."""

    type: Literal["facet_runs"]
    facets: Annotated[list[Facet], Field(min_length=1, max_length=10)]
    query: SearchQuery | None = None


class DecideAction(RunRequest):
    """Let an action that waits for approval be performed, or not; decided once."""

    changes_state: ClassVar[bool] = True
    type: Literal["decide_action"]
    action_id: Annotated[str, Field(min_length=1, max_length=128)]
    approved: bool


class ReadResult(RunRequest):
    """The JSON text of what an entry came to, byte for byte, as base64; for results too large to be inline."""

    type: Literal["read_result"]
    seq: Annotated[int, Field(ge=1)]
    offset: Annotated[int, Field(ge=0)] = 0
    length: Annotated[int, Field(ge=1, le=8 << 20)] | None = None


class ReadTraces(RunRequest):
    """What each action took and changed, from the entry after ``after_seq`` on."""

    type: Literal["read_traces"]
    after_seq: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class ListDeliveries(Request):
    """What was or is to be told of statuses, newest first; of one run or of all."""

    type: Literal["list_deliveries"]
    run_key: RunKey | None = None
    state: Literal["pending", "delivered", "dead"] | None = None
    first: Annotated[int, Field(ge=0, lt=2**63)] = 0
    max: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100


class Redeliver(Request):
    """Send what was given up once more, under the same delivery id."""

    changes_state: ClassVar[bool] = True
    type: Literal["redeliver"]
    delivery_id: Annotated[str, Field(min_length=1, max_length=128)]
