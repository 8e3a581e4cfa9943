"""Requests to the state of a run as steps to ask of its process, and their results from what these came to."""

from typing import Any, Final

from protocol.actions import Execute, Get, Set, encode_action, encode_execute
from protocol.messages import CallOperation, PerformActions, ReadVariables, WriteVariables
from worker.runs.contexts import ModelContext
from worker.runs.stimuli import Step, StepKind
from worker.settings import Settings
from worker.supervisor import answers

StateRequest = CallOperation | ReadVariables | WriteVariables | PerformActions
_KINDS: Final = {kind.value: kind for kind in StepKind}


def needs_process(request: StateRequest) -> bool:
    """Whether a request is more than a read: it writes, or calls an operation."""
    if isinstance(request, PerformActions):
        return any(not isinstance(action, Get) for action in request.actions)
    return not isinstance(request, ReadVariables)


def names_read(request: StateRequest) -> list[str]:
    """The variables that a request only reads."""
    if isinstance(request, ReadVariables):
        return list(request.names)
    return [action.name for action in request.actions] if isinstance(request, PerformActions) else []


def steps_of(request: StateRequest, context: ModelContext, settings: Settings) -> tuple[Step, ...]:
    """What to ask of the process, in order, with each step's own limit."""
    default = context.defaults.operations.timeoutSeconds or settings.operation_timeout_seconds
    if isinstance(request, ReadVariables):
        names = tuple(request.names)
        return (
            Step(StepKind.READ, ", ".join(names[:5]), b"", default, names=names, ignorable=request.ignorable),
        )
    if isinstance(request, CallOperation):
        return (_execute(request.name, request.arguments, context, default),)
    if isinstance(request, WriteVariables):
        actions: list[Execute | Get | Set] = [
            Set(name=name, value=value) for name, value in request.values.items()
        ]
    else:
        actions = list(request.actions)
    return tuple(_step(action, context, default) for action in actions)


def _step(action: Execute | Get | Set, context: ModelContext, default: float) -> Step:
    if isinstance(action, Execute):
        return _execute(action.name, action.arguments, context, default)
    return Step(_KINDS[action.kind], action.name, encode_action(action), default)


def _execute(name: str, arguments: list[Any], context: ModelContext, default: float) -> Step:
    options = context.operation(name)
    timeout = options.timeoutSeconds or default
    return Step(
        StepKind.EXECUTE,
        name,
        encode_execute(name, arguments),
        timeout,
        inert=bool(options.inert),
        result_schema=context.result_schema(name),
        is_result=context.run.result == name,
    )


def result_of(
    request: StateRequest, outcomes: list[tuple[str, bytes, bytes]], shown: answers.Shown = answers.as_it_is
) -> Any:
    """The result of a request from what its steps came to.

    Raises:
        WorkerError: the first error among them.
    """
    if isinstance(request, PerformActions):
        return answers.action_results(outcomes, shown=shown)
    single = not isinstance(request, WriteVariables)
    results = answers.action_results(outcomes, single=single, shown=shown)
    if isinstance(request, WriteVariables):
        return {item["name"]: item["value"] for item in results}
    return results[0]["result" if isinstance(request, CallOperation) else "value"]
