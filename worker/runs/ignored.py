"""Properties of contexts that are accepted and have no effect on a Python model, each with what to do instead.

They are told, not refused: the model does what it does without them, and its files come from Epicenter as they are.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from worker.runs.contexts import Archive, ExecutionContext, ModelContext
from worker.runs.options import VariableOptions

CODE: Final = "PROPERTY_IGNORED"
MAX_TOLD: Final = 50
"""A context may have any number of variables; the first tell what is wrong with the others."""
_OTHER_LANGUAGES: Final = ("resetDecision", "sensitivity", "reportPer", "reportOffset")

Ignored = tuple[str, str]
"""Path of a property, and why it has no effect with what to do instead."""


def ignored_properties(context: ModelContext, archive: Archive) -> Iterator[Ignored]:
    """What has no effect in a model context; ``archive``: what counts where the context does not say it."""
    if context.control:
        yield "control", "it is for Excel, Java, Powersim and Vensim models; remove it"
    if context.enableStateCache:
        yield "enableStateCache", "what a run records is always kept and read without its process; remove it"
    if context.startDebugger:
        yield (
            "startDebugger",
            "no debugger reaches into a sandbox; run the model with python on your own machine",
        )
    saves = (context.archive or archive) != "all"
    for name, options in context.variables.items():
        yield from _of_variable(
            f"variables.{name}", options, f'Epicenter.record("{name}", {name})', saves=saves
        )
    fallback = context.defaults.variables
    yield from _of_variable("defaults.variables", fallback, "Epicenter.record", saves=saves)


def ignored_of_execution(context: ExecutionContext) -> Iterator[Ignored]:
    """What has no effect in an execution context."""
    if context.tool:
        yield "tool", "it is for Stella and Vensim models; remove it"


def _of_variable(path: str, options: VariableOptions, call: str, *, saves: bool) -> Iterator[Ignored]:
    if options.save and saves:
        yield f"{path}.save", f'a Python model archives what it records: call {call}, or set archive to "all"'
    for name in _OTHER_LANGUAGES:
        if getattr(options, name) is not None:
            yield f"{path}.{name}", "it is for system dynamics models; remove it"


def warnings_of(source: str, found: Iterable[Ignored]) -> list[dict[str, str]]:
    """The warnings of a reply; ``source``: the context that the paths are in."""
    return [
        {"code": CODE, "source": source, "path": path, "message": f"{path} has no effect: {reason}"}
        for path, reason in _first(found)
    ]


def _first(found: Iterable[Ignored]) -> Iterator[Ignored]:
    for count, one in enumerate(found):
        if count == MAX_TOLD:
            return
        yield one
