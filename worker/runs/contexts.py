"""Model contexts (the ctx2 file and a request's override) and execution contexts.

Both travel in Epicenter's own spelling. Unknown properties are kept and echoed. A property that this worker
knows but does not serve is refused by name where ignoring it would change what the model does; elsewhere
``worker.runs.ignored`` tells that it has no effect.

Polymorphic values come in two encodings and both are accepted: a wrapper whose single key names the subtype
(``{"replay": {}}``) and a flat map with ``objectType``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from keyword import iskeyword
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.runs.assembly import Assembly, assembly_of, assembly_problems
from worker.runs.functions import MAX_FUNCTIONS, ExternalFunction, function_name, function_of
from worker.runs.guards import MAX_GUARDS, Guard, guard_of
from worker.runs.limits import RunLimits
from worker.runs.options import (
    POINT_IN_TIME,
    Defaults,
    EventOptions,
    OperationOptions,
    Options,
    RoleNames,
    RunOptions,
    Timeout,
    VariableOptions,
    operation_problems,
    upper,
)
from worker.runs.requirements import Requirement, dependency_problems, requirement_of

LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF")
SHOWN_CHARACTERS: Final = 300
"""Of a path and of a reason in a message: names and values are the caller's and may be megabytes long."""
POSITION: Final = re.compile(r"0|[1-9][0-9]{0,3}")
"""The place of an argument in a call."""
Level = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF"]
TERMINATING: Final = "onTerminating"
TERMINATING_SECONDS_MAX: Final = 5.0
"""A run that leaves memory may be making room for another one, which waits for it."""
Policy = Literal["fail", "warn"]
Archive = Literal["recorded", "all"]


def _arguments(value: Any) -> Any:
    if value is None or isinstance(value, (list, dict)):
        return value
    raise ValueError("a list of all arguments, or a map from position to argument, is needed")


class RewindMarker(Options):
    """Which operation counts as a step: one completed call of ``name`` that fits ``arguments``, where given.

    A list must equal the call's arguments. A map names positions, from ``"0"``, and the values there; a call
    may have more. ``destructible``: a rewind deletes the tail of the history instead of marking it.
    """

    name: Annotated[str, Field(min_length=1)] | None = None
    arguments: Annotated[list[Any] | dict[str, Any] | None, PlainValidator(_arguments)] = None
    destructible: bool = False

    def fits(self, arguments: list[Any]) -> bool:
        """Whether a call with these arguments is meant."""
        asked = self.arguments
        if not isinstance(asked, dict):
            return asked is None or arguments == asked
        return all(
            int(place) < len(arguments) and arguments[int(place)] == value for place, value in asked.items()
        )


class Restorations(Options):
    """How state is rebuilt; ``assembly`` is an ordered list of polymorphic parts.

    ``divergence`` and ``modelChanged``: what becomes of a replay that comes out differently, or of another model.
    ``log`` is kept and shown to the model; no value of it changes anything here.
    """

    assembly: list[dict[str, Any]] | None = None
    rewind: RewindMarker = RewindMarker()
    log: str | None = None
    divergence: Policy | None = None
    modelChanged: Policy | None = None

    def parts(self) -> Assembly:
        """The assembly of a context without problems."""
        return assembly_of(map(part_kind, self.assembly or ()))


class Protections(Options):
    """Access guards, a list of polymorphic parts; ``presets``: whether they hold those of a new run, too."""

    guards: list[dict[str, Any]] = Field(default_factory=list)
    presets: Literal["guarded", "open"] = "guarded"


class ModelContext(Options):
    """The effective context of a model: the ctx2 file overlaid with a request's ``modelContext``."""

    version: Annotated[str, BeforeValidator(upper)] = "V2"
    language: str | None = None
    modelVersion: float | None = None
    workerImage: str | None = None
    dependencies: list[dict[str, Any]] = Field(default_factory=list)
    mappedFiles: dict[str, str] = Field(default_factory=dict)
    control: dict[str, Any] | None = None
    variables: dict[str, VariableOptions] = Field(default_factory=dict)
    archive: Archive | None = None
    operations: dict[str, OperationOptions] = Field(default_factory=dict)
    events: dict[str, EventOptions] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    restorations: Restorations = Restorations()
    protections: Protections = Protections()
    limits: RunLimits = RunLimits()
    run: RunOptions = RunOptions()
    approvalRole: RoleNames | None = None
    externalFunctions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    enableStateCache: bool | None = None
    redirectStandardOut: bool = True
    startDebugger: bool | None = None
    inceptionGracePeriodSeconds: Timeout | None = None
    minimumLogLevel: Annotated[Level, BeforeValidator(upper)] = "INFO"

    @cached_property
    def guards(self) -> tuple[Guard, ...]:
        """The guards, judged.

        Raises:
            ValueError: one is not as it must be; never once the context is judged.
        """
        return tuple(guard_of(*part_kind(part)) for part in self.protections.guards)

    @cached_property
    def requirements(self) -> tuple[Requirement, ...]:
        """The packages that the context asks for, judged, each once.

        Raises:
            ValueError: one cannot be served; never once the context is judged.
        """
        return tuple(sorted({requirement_of(*part_kind(part)) for part in self.dependencies}))

    @cached_property
    def functions(self) -> dict[str, ExternalFunction]:
        """The external functions that the model may call, by name.

        Raises:
            ValueError: one is not as it must be; never once the context is judged.
        """
        return {name: function_of(*part_kind(part)) for name, part in self.externalFunctions.items()}

    @cached_property
    def _effective(self) -> dict[str, OperationOptions]:
        return {name: own.over(self.defaults.operations) for name, own in self.operations.items()}

    def operation(self, name: str) -> OperationOptions:
        """Options of an operation with the defaults filled in."""
        return self._effective.get(name, self.defaults.operations)

    @cached_property
    def _schemas(self) -> dict[str, tuple[bytes | None, bytes | None]]:
        return {name: one.schemas() for name, one in self._effective.items()}

    @cached_property
    def _schemas_of_others(self) -> tuple[bytes | None, bytes | None]:
        return self.defaults.operations.schemas()

    def arguments_schema(self, name: str) -> bytes | None:
        """What the arguments of an operation must fit, as msgpack."""
        return self._schemas.get(name, self._schemas_of_others)[0]

    def result_schema(self, name: str) -> bytes | None:
        """What the result of an operation must fit, as msgpack."""
        return self._schemas.get(name, self._schemas_of_others)[1]

    @cached_property
    def holds_calls(self) -> bool:
        """Whether calls are looked at before they are performed: their arguments are judged, or they need approval."""
        options = (*self._effective.values(), self.defaults.operations)
        return any(one.approval or one.argumentsSchema is not None for one in options)

    @cached_property
    def judges_results(self) -> bool:
        """Whether there is any schema for results."""
        return any(result is not None for _, result in (*self._schemas.values(), self._schemas_of_others))

    def approvers(self, name: str) -> tuple[str, ...] | None:
        """Who lets calls of an operation be performed: one of these roles, or whoever may change the run.

        None: its calls need no approval, unless it asks for one itself.
        """
        approval = self.operation(name).approval
        if isinstance(approval, tuple):
            return approval
        return self.deciders if approval else None

    @property
    def deciders(self) -> tuple[str, ...]:
        """Who decides where an operation does not say it."""
        return self.approvalRole or ()

    def archiving(self, fallback: Archive) -> dict[str, Any] | None:
        """Which variables are archived without being recorded: ``default``, and what counts by name instead.

        None: none; ``fallback`` counts where the context does not say it.
        """
        if (self.archive or fallback) != "all":
            return None
        named = {name: options.save for name, options in self.variables.items() if options.save is not None}
        return {"default": self.defaults.variables.save is not False, "variables": named}

    @cached_property
    def longest_timeout_seconds(self) -> float | None:
        """The most that any operation may take, where the context says something of one."""
        options = (*self._effective.values(), self.defaults.operations)
        return max((one.timeoutSeconds for one in options if one.timeoutSeconds), default=None)

    def event_timeout_seconds(self, name: str) -> float | None:
        """How long the handlers of a life-cycle event may take, where the context says so."""
        own = self.events.get(name, EventOptions())
        return own.timeoutSeconds or self.defaults.events.timeoutSeconds


class ExecutionContext(Options):
    """What a run was started with; tracked by clone and migrate. ``presets`` become the model's globals."""

    version: Annotated[str, BeforeValidator(upper)] = "V1"
    presets: dict[str, Any] = Field(default_factory=dict)
    mappedFiles: dict[str, str] = Field(default_factory=dict)
    tool: dict[str, Any] | None = None


def model_context(source: str, raw: Mapping[str, Any]) -> ModelContext:
    """Judge a model context; ``source`` says where it comes from, for messages.

    Raises:
        RequestError: INVALID_CONTEXT naming source and property.
    """
    try:
        context = ModelContext.model_validate(raw)
    except ValidationError as error:
        raise _invalid(source, error) from error
    for path, reason in _refused(context):
        raise refused_property(source, path, reason)
    return context


def context_problems(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All that ``model_context`` would refuse, as (path of the property, reason); empty if nothing."""
    try:
        context = ModelContext.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        return [(_path(item["loc"]), item["msg"]) for item in found]
    return list(_refused(context))


def execution_context(source: str, raw: Mapping[str, Any]) -> ExecutionContext:
    """Judge an execution context.

    Raises:
        RequestError: INVALID_CONTEXT naming source and property.
    """
    try:
        context = ExecutionContext.model_validate(raw)
    except ValidationError as error:
        raise _invalid(source, error) from error
    if context.version != "V1":
        raise refused_property(
            source, "version", f"{context.version} is not known; an execution context has version V1"
        )
    for path, reason in _mapping_problems(context.mappedFiles):
        raise refused_property(source, path, reason)
    for name in context.presets:
        if not name.isidentifier() or name.startswith("_") or iskeyword(name):
            reason = (
                "a preset becomes a global variable; its name must be one, and not begin with an underscore"
            )
            raise refused_property(source, f"presets.{name}", reason)
    return context


def part_kind(part: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Subtype and options of a polymorphic value in either encoding; the subtype is "" when there is none."""
    if "objectType" in part:
        return str(part["objectType"]), {key: value for key, value in part.items() if key != "objectType"}
    if len(part) == 1:
        ((kind, options),) = part.items()
        if isinstance(options, Mapping):
            return kind, dict(options)
    return "", dict(part)


def _refused(context: ModelContext) -> Iterable[tuple[str, str]]:
    yield from _unknown(context)
    yield from _unserved(context)


def _unknown(context: ModelContext) -> Iterable[tuple[str, str]]:
    """Versions and languages that this worker does not know."""
    if context.version not in ("V1", "V2"):
        yield "version", f"{context.version} is not known; write V2"
    if context.language is not None:
        normalised = re.sub(r"[^A-Z0-9]+|(?<=[A-Z])(?=[0-9])", "_", context.language.upper()).strip("_")
        if normalised not in ("PYTHON", "PYTHON_3"):
            yield "language", f"{context.language!r} is not served; this worker runs python3"


def _restorations(restorations: Restorations) -> Iterable[tuple[str, str]]:
    """What no state can be put together from, and marks that no call could fit."""
    if restorations.assembly is not None:
        for path, reason in assembly_problems([part_kind(part) for part in restorations.assembly]):
            yield f"restorations.assembly{path}", reason
    for place in restorations.rewind.arguments or ():
        if isinstance(restorations.rewind.arguments, dict) and not POSITION.fullmatch(place):
            path = f"restorations.rewind.arguments.{place}"
            yield path, 'calls are recorded by position; name an argument by its place: "0", "1", ...'


def _unserved(context: ModelContext) -> Iterable[tuple[str, str]]:
    """Properties that change what a model does and are not served here, with what to do instead."""
    yield from _restorations(context.restorations)
    farewell = context.events.get(TERMINATING, EventOptions()).timeoutSeconds or 0
    if farewell > TERMINATING_SECONDS_MAX:
        path = f"events.{TERMINATING}.timeoutSeconds"
        yield path, f"a run that leaves memory may take {TERMINATING_SECONDS_MAX:g} s at most; write less"
    yield from operation_problems({"operations." + name: one for name, one in context.operations.items()})
    yield from operation_problems({"defaults.operations": context.defaults.operations})
    yield from _wrong_guards(context.protections.guards)
    yield from _wrong_functions(context.externalFunctions)
    yield from _mapping_problems(context.mappedFiles)
    yield from _dialects(context)
    for path, reason in dependency_problems([part_kind(part) for part in context.dependencies]):
        yield f"dependencies{path}", reason


def _mapping_problems(files: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Paths that lead out of the model folder by their words."""
    for name, file in files.items():
        for path in (name, file):
            if not path.isprintable() or any(word in ("", ".", "..") for word in path.split("/")):
                yield f"mappedFiles.{name}", f"{path!r} must be a path below the model folder, without '..'"


def _dialects(context: ModelContext) -> Iterable[tuple[str, str]]:
    """Another reading of a variable than its value: a caller would take one for the other."""
    all_options = {f"variables.{name}": options for name, options in context.variables.items()}
    for path, options in {**all_options, "defaults.variables": context.defaults.variables}.items():
        if options.dialect not in (None, POINT_IN_TIME):
            yield (
                f"{path}.dialect",
                f"{options.dialect} is not served; a Python model's variables are {POINT_IN_TIME}",
            )


def _wrong_guards(parts: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """A guard that is not understood is never ignored: without it access would be open."""
    if len(parts) > MAX_GUARDS:
        yield "protections.guards", f"{len(parts)} guards, allowed are {MAX_GUARDS}"
    for index, part in enumerate(parts):
        try:
            guard_of(*part_kind(part))
        except ValueError as error:
            yield f"protections.guards[{index}]", str(error)


def _wrong_functions(parts: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """Functions that nobody could call, or be found for."""
    if len(parts) > MAX_FUNCTIONS:
        yield "externalFunctions", f"{len(parts)} functions, allowed are {MAX_FUNCTIONS}"
    for name, part in parts.items():
        try:
            function_of(*part_kind(part))
            function_name(name)
        except ValueError as error:
            yield f"externalFunctions.{name}", str(error)


def refused_property(source: str, path: str, reason: str) -> RequestError:
    """INVALID_CONTEXT for one property of a context."""
    path, reason = path[:SHOWN_CHARACTERS], reason[:SHOWN_CHARACTERS]
    return RequestError(ErrorCode.INVALID_CONTEXT, f"{source}: {path}: {reason}", source=source, path=path)


def _invalid(source: str, error: ValidationError) -> RequestError:
    first = error.errors(include_url=False, include_context=False)[0]
    return refused_property(source, _path(first["loc"]), first["msg"])


def _path(location: Iterable[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
