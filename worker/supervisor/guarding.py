"""Guards around the steps of a request: what is refused at once, and what must be looked at before a write."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from protocol.actions import Set
from protocol.errors import ErrorCode
from protocol.messages import CallOperation, PerformActions, ReadVariables, WriteVariables
from worker.errors import RequestError
from worker.runs.guards import Access, Guard, asker_of, conditions_of, judge
from worker.runs.record import RunRecord
from worker.runs.stimuli import Step, StepKind
from worker.supervisor.models import ModelCatalog

StateRequest = CallOperation | ReadVariables | WriteVariables | PerformActions
_ACCESS: Final = {
    StepKind.EXECUTE: Access.EXECUTE,
    StepKind.SET: Access.WRITE,
    StepKind.GET: Access.READ,
    StepKind.READ: Access.READ,
}


def guarded(
    request: StateRequest, steps: tuple[Step, ...], guards: Sequence[Guard], record: RunRecord
) -> tuple[Step, ...]:
    """The steps of a request with what guards make of them.

    A step that is refused whatever the state of the model is the last one. Before a write that depends on the
    state comes a look at it: no other request and no other step comes between.
    """
    if not guards:
        return steps
    asker, found = asker_of(request.actor, record.scope), list[Step]()
    for step, value in zip(steps, _values(request, len(steps)), strict=True):
        names = step.names if step.kind is StepKind.READ else (step.name,)
        verdicts = (judge(guards, asker, _ACCESS[step.kind], name, value) for name in names)
        refusal = next((verdict for verdict in verdicts if verdict is not None), None)
        if refusal is not None:
            return (*found, replace(step, refusal=refusal))
        conditions = conditions_of(guards, step.name) if step.kind is StepKind.SET else ()
        if conditions:
            references = tuple(dict.fromkeys(condition.reference for condition in conditions))
            found.append(
                Step(
                    StepKind.READ, step.name, b"", step.timeout_seconds, False, references, True, is_look=True
                )
            )
        found.append(replace(step, conditions=conditions))
    return tuple(found)


def _values(request: StateRequest, count: int) -> list[Any]:
    """What each step would assign."""
    if isinstance(request, WriteVariables):
        return list(request.values.values())
    if isinstance(request, PerformActions):
        return [action.value if isinstance(action, Set) else None for action in request.actions]
    return [None] * count


def guards_in_file(catalog: ModelCatalog, model_file: str) -> tuple[Guard, ...]:
    """The guards of a model by its ctx2 file, for reads without a process; none where the model is gone.

    Raises:
        RequestError: INVALID_CONTEXT; guards that cannot be read hold everything.
    """
    try:
        return catalog.guards(model_file)
    except RequestError as error:
        if error.code is ErrorCode.MODEL_NOT_FOUND:
            return ()
        raise
