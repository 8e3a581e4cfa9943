"""One request as a caller means it, and how its fields travel; what can be asked stands in ``protocol._calls``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypedDict, TypeVar, cast

from pydantic import BaseModel, ValidationError

from protocol.entities import Actor, Address, Permit, Run
from protocol.errors import ErrorCode, ProtocolError

T = TypeVar("T")
Fields = Mapping[str, Any]
"""A map of JSON values with string keys."""


class Options(TypedDict, total=False):
    """What every request takes besides its own fields.

    ``request_id``: 1 to 64 characters, unique per intent; absent, a new one is made. ``actor``: who asks,
    instead of the client's own. ``deadline_seconds``: how long the worker may let the caller wait.
    ``timeout_seconds``: how long this client waits for a reply in all, instead of its own setting.
    ``traceparent``: the W3C trace context of the caller. ``project``: the name space that is asked
    (``account/project``), instead of the client's own.
    """

    request_id: str | None
    actor: Actor | Fields | None
    deadline_seconds: float | None
    timeout_seconds: float | None
    traceparent: str | None
    project: str | None


OPTION_NAMES: Final = frozenset(Options.__annotations__)


class NewRun(Options, total=False):
    """What every request takes that may start a run; see ``protocol.envelope.NewRun``."""

    permit: Permit | Fields | None
    tracking_key: str | None
    model_context: Fields | None
    execution_context: Fields | None
    ephemeral: bool | None
    allow_channel: bool | None
    perpetual: bool | None
    grammar: str | None
    metadata: Fields | None
    address: Address | Fields | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request as the caller means it; ``decode`` makes the caller's value of the reply's result."""

    type: str
    fields: dict[str, Any]
    options: Options
    decode: Callable[[Any], T]


def as_is(result: Any) -> Any:
    """A result as it came."""
    return result


def nothing(_result: Any) -> None:
    """A result that tells nothing."""
    return


def _unexpected(what: str) -> ProtocolError:
    return ProtocolError(ErrorCode.INTERNAL_ERROR, f"the worker answered with {what}")


def run(result: Any) -> Run:
    """A result that is a run."""
    try:
        return Run.model_validate(result)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]
        raise _unexpected(f"what is no run: {reason['msg']} {reason['loc']}") from error


def to_wire(value: Any) -> Any:
    """A field as it travels: entities become maps, and sequences of them lists."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, (list, tuple)):
        return [to_wire(item) for item in value]
    return value


def call(type_: str, decode: Callable[[Any], T], options: Options, **fields: Any) -> Call[T]:
    """A request of ``fields``, and of what ``options`` has besides those that every request takes.

    A field that is None is absent: no request gives null a meaning of its own at its top level.
    """
    common, own = apart(options)
    sent = {name: to_wire(value) for name, value in {**fields, **own}.items() if value is not None}
    return Call(type_, sent, common, _per_run(decode) if "run_keys" in sent else decode)


def apart(given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The options that every request takes, and the fields that are of one type."""
    common = {name: value for name, value in given.items() if name in OPTION_NAMES}
    return cast("Options", common), {name: value for name, value in given.items() if name not in common}


def _per_run(decode: Callable[[Any], T]) -> Callable[[Any], Any]:
    def decode_one(answer: Any) -> T | ProtocolError:
        if not isinstance(answer, dict):
            return _unexpected("no answer for this run")
        if answer.get("ok"):
            return decode(answer.get("result"))
        return ProtocolError.from_wire(answer.get("error") or {})

    def decode_all(result: Any) -> dict[str, T | ProtocolError]:
        if not isinstance(result, dict):
            raise _unexpected("no map from run key to result")
        return {run_key: decode_one(answer) for run_key, answer in result.items()}

    return decode_all
