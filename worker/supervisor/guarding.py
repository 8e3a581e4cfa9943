"""Guards around what a request asks: what is refused at once, and what must be looked at before a write."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from protocol.actions import Set
from protocol.errors import ErrorCode
from protocol.messages import CallOperation, PerformActions, ReadVariables, Request, WriteVariables
from worker.channel import pack
from worker.errors import RequestError
from worker.runs.contexts import ModelContext, execution_context
from worker.runs.guards import Access, Guard, GuardViolation, asker_of, conditions_of, judge
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


def guard_presets(
    request: Request,
    context: ModelContext,
    scope: Mapping[str, Any],
    execution: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> None:
    """Judge the presets of a request as writes of its actor; those that stay as ``before`` are none.

    A run that begins (``before`` is None) has no state yet that overwrite and relative guards could look at:
    its presets are what they compare with later. A history that began with other presets is not begun anew
    with what such a guard holds.

    Raises:
        RequestError: GUARD_VIOLATION with ``path``, INVALID_CONTEXT.
    """
    if not context.guards or (before is None and context.protections.presets == "open"):
        return
    given = execution_context("execution_context", execution).presets
    kept: Mapping[str, Any] = {} if before is None else before.get("presets", {})
    asker = asker_of(request.actor, scope)
    for name in _changed(kept, given):
        violation = judge(context.guards, asker, Access.WRITE, name, given.get(name))
        if violation is None and before is not None:
            held = conditions_of(context.guards, name)
            needed = "the presets that the history began with"
            violation = GuardViolation(held[0].kind, Access.WRITE, name, needed) if held else None
        if violation is not None:
            path = f"execution_context.presets.{name}"
            raise RequestError(
                ErrorCode.GUARD_VIOLATION, violation.message, **violation.information, path=path
            )


def _changed(kept: Mapping[str, Any], given: Mapping[str, Any]) -> Iterable[str]:
    """Names that are added, left out, or have another value."""
    for name in dict.fromkeys((*given, *kept)):
        if not (name in kept and name in given and pack(kept[name]) == pack(given[name])):
            yield name


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
