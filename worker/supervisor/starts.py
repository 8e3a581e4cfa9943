"""What ``start_run`` asks for, judged and made a run: nothing of it waits for a process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from protocol.actions import Execute
from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.profiles import Mock, StartRun, interaction_of
from worker.channel import pack
from worker.errors import RequestError
from worker.process.schema_judge import NotJudgedError, SchemaJudge
from worker.runs.configurations import RunConfiguration, configured
from worker.runs.contexts import ModelContext
from worker.runs.identity import request_digest
from worker.runs.profile import RunProfile, default_name, default_profile
from worker.runs.record import RunRecord
from worker.runs.revisions import revision_problem
from worker.supervisor.attaching import Attaching
from worker.supervisor.births import Births
from worker.supervisor.configurations import find_configuration
from worker.supervisor.contexts import judge_contexts
from worker.supervisor.finding import creation_of
from worker.supervisor.flights import Flight
from worker.supervisor.guarding import guard_presets
from worker.supervisor.models import ModelSource
from worker.supervisor.records import new_record
from worker.supervisor.status_targets import judge_target

_NOT_THE_RUNS: Final = ("source", "created_by", "wait_seconds")
"""Fields that tell who asks and how: who repeats a ``run_id`` with others means the same run."""

FLAGS: Final = ("interactive", "reasoning_traces", "call_summarization")
"""What a run is unless its start says otherwise."""


@dataclass(frozen=True, slots=True)
class Start:
    """A run to be started: its row, its profile, its metadata."""

    record: RunRecord
    profile: RunProfile
    metadata: Mapping[str, Any]


def run_digest(request: StartRun) -> bytes:
    """What tells whether a ``run_id`` that there is already means the same run."""
    fields = request.model_dump(mode="json", exclude_unset=True)
    return request_digest({name: value for name, value in fields.items() if name not in _NOT_THE_RUNS})


@dataclass(frozen=True, slots=True)
class Starts:
    """Judges them; one object for the whole worker."""

    births: Births
    judge: SchemaJudge
    attaching: Attaching

    async def of(self, request: StartRun, flight: Flight) -> Start:
        """The run that a request asks for.

        Raises:
            RequestError: PROJECT_NOT_FOUND, MODEL_NOT_FOUND, CONFIG_NOT_FOUND, INVALID_CONTEXT, INVALID_REQUEST,
                GUARD_VIOLATION, INVALID_SCHEMA, OPERATION_NOT_ATTACHED; nothing happened.
            WorkerError: why the model cannot tell what it offers, where functions are attached.
        """
        digest, births = run_digest(request), self.births
        catalog = births.catalogs.of(request.project_name)
        model_file, tag = interaction_of(request.model_file)
        model = await catalog.read(model_file)
        config, version = RunConfiguration(), None
        if request.config is not None:
            version, config = find_configuration(catalog.root, request.config)
            request = configured(request, config, model_file)
        context, _ = model.effective_context(request.model_context)
        _refuse_revision(model, context, model_file, tag)
        if request.on_status_change is not None:
            judge_target(request.on_status_change, births.settings, catalog.find)
        await self._judge_data(request, config, context)
        execution = _execution(request, context)
        contexts = judge_contexts(model, request.model_context, execution, births.settings, births.sandbox)
        creation = creation_of(request, scope=request.scope, model_file=model_file)
        record = replace(new_record(creation, model, contexts.model, execution), epoch=0)
        _judge_mocks(request, contexts.model)
        guard_presets(request, contexts.model, record.scope, execution)
        environment = births.environments.name_of(contexts.model)
        profile = _profile(request, record, context, environment=environment, digest=digest, version=version)
        await self.attaching.judge(record, profile, context, flight)
        return Start(record, profile, request.metadata or {})

    async def _judge_data(self, request: StartRun, config: RunConfiguration, context: ModelContext) -> None:
        """Data against what model and configuration say of it, before any process is started for the run."""
        for schema, path in ((config.input_schema, "config.input"), (context.run.input, "data")):
            if schema is None or (request.data is None and path == "data"):
                continue  # a run without data is not asked to take any
            try:
                findings = await self.judge.of_value(pack(schema), pack(request.data))
            except NotJudgedError as error:
                raise RequestError(ErrorCode.INVALID_REQUEST, f"{path}: {error}", path=path) from error
            if findings:
                found = [{"path": one.path, "error": one.error} for one in findings]
                message = f"{path}{findings[0].path}: {findings[0].error}"
                raise RequestError(ErrorCode.INVALID_REQUEST, message, path=path, errors=found)


def _refuse_revision(model: ModelSource, context: ModelContext, model_file: str, tag: str | None) -> None:
    problem = revision_problem(tag, model.fingerprint, context.modelVersion)
    if problem is not None:
        message = f"model_file {model_file!r:.200}: {problem}"
        raise RequestError(ErrorCode.MODEL_NOT_FOUND, message, model_file=model_file, tag=tag)


def _judge_mocks(request: StartRun, context: ModelContext) -> None:
    unknown = [name for name in request.mocks or () if name not in context.functions]
    if unknown:
        message = (
            f"mocks: {', '.join(map(repr, unknown[:10]))}: the model's context declares no such external function; it "
            f"has {', '.join(sorted(context.functions)[:20]) or 'none'}, and operations are not replaced"
        )
        raise RequestError(ErrorCode.INVALID_REQUEST, message, path="mocks", unknown=unknown)


def _execution(request: StartRun, context: ModelContext) -> dict[str, Any]:
    """The execution context; data for a model that has no operation for it become presets."""
    execution = request.execution_context or {}
    if request.data is None or context.run.start is not None:
        return execution
    presets = execution.get("presets", {})
    if not isinstance(request.data, dict) or not isinstance(presets, dict):
        message = (
            "data: the model declares no operation for it (run.start), so it must be a map of variables to their "
            "first values"
        )
        raise RequestError(ErrorCode.INVALID_REQUEST, message, path="data")
    return {**execution, "presets": {**presets, **request.data}}


def _actions(request: StartRun, context: ModelContext) -> list[dict[str, Any]]:
    """What the run is asked in order: data, prompt, the actions that were given, and last for its result."""
    run, found = context.run, list[Any]()
    if request.data is not None and run.start is not None:
        found.append(Execute(name=run.start, arguments=[request.data]))
    if request.prompt is not None:
        if run.prompt is None:
            message = (
                "prompt: the model declares no operation that takes one (run.prompt); give actions instead"
            )
            raise RequestError(ErrorCode.INVALID_REQUEST, message, path="prompt")
        found.append(Execute(name=run.prompt, arguments=[request.prompt]))
    found += request.actions or ()
    if run.result is not None:
        found.append(Execute(name=run.result, arguments=[]))
    return [action.model_dump(mode="json") for action in found]


def _outputs(mocks: Mapping[str, Mock]) -> dict[str, Any]:
    return {name: mock.output for name, mock in mocks.items()}


def _profile(
    request: StartRun,
    record: RunRecord,
    context: ModelContext,
    *,
    environment: str,
    digest: bytes,
    version: int | None,
) -> RunProfile:
    actions = _actions(request, context)
    asked = [action for action in actions if action["name"] != context.run.result]
    actor = None if request.actor is None else request.actor.model_dump(mode="json", exclude_none=True)
    given: dict[str, Any] = {
        "name": request.name
        or default_name(record.model_file, record.created_us, asked[0]["name"] if asked else None),
        "status": RunStatus.CREATED,
        "environment": environment,
        "run_id": request.run_id,
        "request_digest": digest,
        "parent": request.parent,
        "config_id": None if request.config is None else request.config.id,
        "config_version": version,
        "tags": tuple(dict.fromkeys(request.tags or ())),
        "ttl_seconds": request.ttl_seconds,
        "expires_us": None
        if request.ttl_seconds is None
        else record.created_us + request.ttl_seconds * 1_000_000,
        "test": bool(request.test),
        "result_mode": request.result_mode,
        "result_schema": request.result_schema,
        "parameters": request.data,
        "context": request.context,
        "course": {
            "request_id": request.request_id,
            "actor": actor,
            "model_context": request.model_context,
            "actions": actions,
            **({} if request.mocks is None else {"mocks": _outputs(request.mocks)}),
        },
    }
    given |= {name: getattr(request, name) is not False for name in FLAGS}
    if request.created_by is not None:
        given["created_by"] = request.created_by
    if request.source is not None:
        given |= {"source": request.source.model_dump(mode="json"), "source_type": request.source.type}
    if request.attached_functions is not None:
        attached = [one.model_dump(mode="json", exclude_none=True) for one in request.attached_functions]
        given["attached_functions"] = attached
    if request.on_status_change is not None:
        given["on_status_change"] = request.on_status_change.model_dump(mode="json", exclude_none=True)
    return default_profile(record, **given)
