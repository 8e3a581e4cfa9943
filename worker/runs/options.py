"""Options of a model context for operations, variables, events and runs; named as Epicenter, or this worker, names them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from protocol.entities import Role
from worker.channel import pack

POINT_IN_TIME: Final = "POINT_IN_TIME"
"""The dialect of a variable that has the value it has."""
MAX_ROLES: Final = 20
Timeout = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
JsonSchema = dict[str, Any] | bool
OperationName = Annotated[str, Field(min_length=1, max_length=256)]


def upper(value: Any) -> Any:
    """A word in the spelling that is compared."""
    return value.upper() if isinstance(value, str) else value


def _roles(value: Any) -> Any:
    """One role or a list of them; those of the platform in any case."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        return value
    platform = tuple(Role)
    return tuple(upper(one) if upper(one) in platform else one for one in listed)


RoleName = Annotated[str, Field(min_length=1, max_length=128)]
RoleNames = Annotated[
    tuple[RoleName, ...], Field(min_length=1, max_length=MAX_ROLES), BeforeValidator(_roles)
]
"""Roles of the platform, each with those above it, and roles in a world."""


class Options(BaseModel):
    """Unknown properties stay; what is known is typed strictly."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class OperationOptions(Options):
    """``timeoutSeconds``: the operation's own limit. ``inert``: a call does not change state.

    ``approval``: calls wait until somebody, with one of these roles, lets them be performed. ``argumentsSchema`` judges
    the list of arguments, ``resultSchema`` the result; what does not fit leaves no trace.
    """

    timeoutSeconds: Timeout | None = None
    inert: bool | None = None
    approval: bool | RoleNames | None = None
    argumentsSchema: JsonSchema | None = None
    resultSchema: JsonSchema | None = None

    def over(self, fallback: "OperationOptions") -> "OperationOptions":
        """These, with what they leave out as ``fallback`` has it."""

        def either(name: str) -> Any:
            own = getattr(self, name)
            return getattr(fallback, name) if own is None else own

        return OperationOptions.model_construct(
            **{name: either(name) for name in OperationOptions.model_fields}
        )

    def schemas(self) -> tuple[bytes | None, bytes | None]:
        """The schemas of arguments and result, as msgpack."""
        arguments, result = self.argumentsSchema, self.resultSchema
        return None if arguments is None else pack(arguments), None if result is None else pack(result)


class EventOptions(Options):
    """Limits of a life-cycle event's handlers; those of onInitialized are part of loading the model."""

    timeoutSeconds: Timeout | None = None


class VariableOptions(Options):
    """Of a Python model's variable only ``save`` counts, and only where all variables are archived.

    The others are for other languages, whatever they hold; a ``dialect`` would change what a read gives.
    """

    save: bool | None = None
    dialect: Annotated[str, BeforeValidator(upper)] | None = None
    resetDecision: Any = None
    sensitivity: Any = None
    reportPer: Any = None
    reportOffset: Any = None


class Defaults(Options):
    """Fallbacks for the maps of the same names."""

    variables: VariableOptions = VariableOptions()
    operations: OperationOptions = OperationOptions()
    events: EventOptions = EventOptions()


class RunOptions(Options):
    """What runs of the model are that are started by themselves.

    ``start`` names the operation that takes a run's data, without which they become presets; ``prompt`` the one that
    takes a prompt, without which prompts are refused; ``result`` the one whose value is a run's result, without which it
    is that of the last initial action. ``input`` judges data. ``private`` names operations that only runs reach which
    were started with them attached.
    """

    start: OperationName | None = None
    prompt: OperationName | None = None
    result: OperationName | None = None
    input: JsonSchema | None = None
    private: list[OperationName] = Field(default_factory=list)

    def named(self) -> list[tuple[str, str]]:
        """(path below ``run``, operation) of all operations that it names."""
        single = [(name, getattr(self, name)) for name in ("start", "prompt", "result")]
        listed = [(f"private[{index}]", name) for index, name in enumerate(self.private)]
        return [(path, name) for path, name in (*single, *listed) if name is not None]


def operation_problems(operations: Mapping[str, OperationOptions]) -> Iterable[tuple[str, str]]:
    """Options that contradict each other, by the path of the operation."""
    for path, options in operations.items():
        if options.approval and options.inert:
            yield (
                f"{path}.approval",
                "an inert operation leaves no entry that could carry the approval; drop one of them",
            )
