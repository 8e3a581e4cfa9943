"""What a client can ask, once for both clients: each function builds one request and knows its result.

A ``Call`` holds the request's own fields and turns the reply's ``result`` into what the caller gets. None of
this knows how a request travels. Functions whose request takes many runs accept ``run_keys`` instead of
``run_key``; the result is then a map from run key to a result, or to the ``ProtocolError`` of that run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack

from pydantic import BaseModel, ValidationError

from protocol.actions import Execute, Get, Set
from protocol.entities import Actor, Address, Morphology, Permit, Ritual, Run, Scope
from protocol.errors import ErrorCode, ProtocolError

T = TypeVar("T")
Fields = Mapping[str, Any]
"""A map of JSON values with string keys."""


class Options(TypedDict, total=False):
    """What every request takes besides its own fields.

    ``request_id``: 1 to 64 characters, unique per intent; absent, a new one is made. ``actor``: who asks,
    instead of the client's own. ``deadline_seconds``: how long the worker may let the caller wait.
    ``timeout_seconds``: how long this client waits for a reply in all, instead of its own setting.
    ``traceparent``: the W3C trace context of the caller.
    """

    request_id: str | None
    actor: Actor | Fields | None
    deadline_seconds: float | None
    timeout_seconds: float | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request as the caller means it; ``decode`` makes the caller's value of the reply's result."""

    type: str
    fields: dict[str, Any]
    options: Options
    decode: Callable[[Any], T]


def _as_is(result: Any) -> Any:
    return result


def _nothing(_result: Any) -> None:
    return None


def _unexpected(what: str) -> ProtocolError:
    return ProtocolError(ErrorCode.INTERNAL_ERROR, f"the worker answered with {what}")


def _run(result: Any) -> Run:
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


def _call(type_: str, decode: Callable[[Any], T], options: Options, **fields: Any) -> Call[T]:
    """A field that is None is absent: no request gives null a meaning of its own at its top level."""
    sent = {name: to_wire(value) for name, value in fields.items() if value is not None}
    return Call(type_, sent, options, _per_run(decode) if "run_keys" in sent else decode)


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


def ping(**options: Unpack[Options]) -> Call[dict[str, Any]]:
    """Ask whether the worker is there: ``{worker_id, version, uptime_seconds}``."""
    return _call("ping", _as_is, options)


def worker_status(**options: Unpack[Options]) -> Call[dict[str, Any]]:
    """What the worker holds and how it does."""
    return _call("worker_status", _as_is, options)


def drain(*, grace_seconds: float | None = None, **options: Unpack[Options]) -> Call[Any]:
    """Evict all runs, refuse new ones, then let the worker exit."""
    return _call("drain", _as_is, options, grace_seconds=grace_seconds)


def create_run(
    model_file: str,
    *,
    scope: Scope | Fields | None = None,
    permit: Permit | Fields | None = None,
    morphology: Morphology | None = None,
    tracking_key: str | None = None,
    model_context: Fields | None = None,
    execution_context: Fields | None = None,
    ephemeral: bool | None = None,
    allow_channel: bool | None = None,
    perpetual: bool | None = None,
    grammar: str | None = None,
    metadata: Fields | None = None,
    address: Address | Fields | None = None,
    **options: Unpack[Options],
) -> Call[Run]:
    """Start a new run of ``model_file``, a path below the worker's model root."""
    return _call(
        "create_run",
        _run,
        options,
        model_file=model_file,
        scope=scope,
        permit=permit,
        morphology=morphology,
        tracking_key=tracking_key,
        model_context=model_context,
        execution_context=execution_context,
        ephemeral=ephemeral,
        allow_channel=allow_channel,
        perpetual=perpetual,
        grammar=grammar,
        metadata=metadata,
        address=address,
    )


def get_run(run_key: str, **options: Unpack[Options]) -> Call[Run]:
    """The run's record; never starts a process."""
    return _call("get_run", _run, options, run_key=run_key)


def update_run(
    run_key: str | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    permit: Permit | Fields | None = None,
    tracking_key: str | None = None,
    marked: bool | None = None,
    hidden: bool | None = None,
    closed: bool | None = None,
    allow_channel: bool | None = None,
    **options: Unpack[Options],
) -> Call[Run | Any]:
    """Change attributes of a run; ``closed=True`` ends it for good."""
    return _call(
        "update_run",
        _run,
        options,
        run_key=run_key,
        run_keys=run_keys,
        permit=permit,
        tracking_key=tracking_key,
        marked=marked,
        hidden=hidden,
        closed=closed,
        allow_channel=allow_channel,
    )


def evict_run(
    run_key: str | None = None, *, run_keys: Sequence[str] | None = None, **options: Unpack[Options]
) -> Call[Any]:
    """Take a run out of memory; idempotent, deletes nothing durable. None for one run."""
    return _call("evict_run", _nothing, options, run_key=run_key, run_keys=run_keys)


def restore_run(
    run_key: str,
    *,
    model_context: Fields | None = None,
    execution_context: Fields | None = None,
    ephemeral: bool | None = None,
    **options: Unpack[Options],
) -> Call[Run]:
    """Bring a run into memory by replay."""
    return _call(
        "restore_run",
        _run,
        options,
        run_key=run_key,
        model_context=model_context,
        execution_context=execution_context,
        ephemeral=ephemeral,
    )


def rewind_run(
    run_key: str,
    rewind_count: int | None = None,
    *,
    to_seq: int | None = None,
    model_context: Fields | None = None,
    ephemeral: bool | None = None,
    **options: Unpack[Options],
) -> Call[Run]:
    """Go back ``rewind_count`` marked steps, or to the sequence number ``to_seq``."""
    return _call(
        "rewind_run",
        _run,
        options,
        run_key=run_key,
        rewind_count=rewind_count,
        to_seq=to_seq,
        model_context=model_context,
        ephemeral=ephemeral,
    )


def clone_run(
    run_key: str,
    *,
    tracking_key: str | None = None,
    model_context: Fields | None = None,
    execution_context: Fields | None = None,
    ephemeral: bool | None = None,
    at_seq: int | None = None,
    **options: Unpack[Options],
) -> Call[Run]:
    """Copy a run, as it is or as it was at ``at_seq``; the result has a new key."""
    return _call(
        "clone_run",
        _run,
        options,
        run_key=run_key,
        tracking_key=tracking_key,
        model_context=model_context,
        execution_context=execution_context,
        ephemeral=ephemeral,
        at_seq=at_seq,
    )


def call_operation(
    run_key: str | None = None,
    name: str | None = None,
    arguments: Sequence[Any] | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    ritual: Ritual | str | None = None,
    **options: Unpack[Options],
) -> Call[Any]:
    """Call one operation of the model: what it returned."""
    return _call(
        "call_operation",
        _as_is,
        options,
        run_key=run_key,
        run_keys=run_keys,
        name=name,
        arguments=arguments,
        ritual=ritual,
    )


def read_variables(
    run_key: str | None = None,
    names: Sequence[str] | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    ritual: Ritual | str | None = None,
    ignorable: bool | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Read variables by name; with ``ignorable`` a missing one is None instead of an error."""
    return _call(
        "read_variables",
        _as_is,
        options,
        run_key=run_key,
        run_keys=run_keys,
        names=names,
        ritual=ritual,
        ignorable=ignorable,
    )


def write_variables(
    run_key: str | None = None,
    values: Fields | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    ritual: Ritual | str | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Assign variables in the order of the map: their new values by name."""
    return _call(
        "write_variables", _as_is, options, run_key=run_key, run_keys=run_keys, values=values, ritual=ritual
    )


def perform_actions(
    run_key: str | None = None,
    actions: Sequence[Execute | Get | Set | Fields] | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    ritual: Ritual | str | None = None,
    **options: Unpack[Options],
) -> Call[list[dict[str, Any]] | Any]:
    """Perform actions in order: a list of ``{kind, name, result}`` or ``{kind, name, value}``.

    Stops at the first error, whose ``information`` has ``index`` and ``completed``.
    """
    return _call(
        "perform_actions", _as_is, options, run_key=run_key, run_keys=run_keys, actions=actions, ritual=ritual
    )


def read_metadata(
    run_key: str | None = None,
    names: Sequence[str] | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    ignorable: bool | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Read metadata by name, which the worker keeps outside the model."""
    return _call(
        "read_metadata", _as_is, options, run_key=run_key, run_keys=run_keys, names=names, ignorable=ignorable
    )


def update_metadata(
    run_key: str | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    set: Fields | None = None,  # noqa: A002 - the protocol's own name for it
    push: Fields | None = None,
    pop: Fields | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Change metadata: assign, append to a list, remove from a list. The changed names and their values."""
    return _call(
        "update_metadata", _as_is, options, run_key=run_key, run_keys=run_keys, set=set, push=push, pop=pop
    )


def read_history(
    run_key: str, *, after_seq: int | None = None, limit: int | None = None, **options: Unpack[Options]
) -> Call[dict[str, Any]]:
    """Read log entries, rewound ones included and marked: ``{entries, head_seq}``."""
    return _call("read_history", _as_is, options, run_key=run_key, after_seq=after_seq, limit=limit)


def introspect_model(model_file: str, **options: Unpack[Options]) -> Call[dict[str, Any]]:
    """What a model offers: ``{language, functions, variables}``; no run comes of it."""
    return _call("introspect_model", _as_is, options, model_file=model_file)


def introspect_run(run_key: str, **options: Unpack[Options]) -> Call[dict[str, Any]]:
    """What the model of a run offers, as ``introspect_model`` tells it."""
    return _call("introspect_run", _as_is, options, run_key=run_key)


def read_events(
    run_key: str, *, after_event: int | None = None, limit: int | None = None, **options: Unpack[Options]
) -> Call[dict[str, Any]]:
    """Read what the event socket told of a run: ``{events, head_event}``.

    A page may end before ``limit``; there is more while its last number is below ``head_event``.
    """
    return _call("read_events", _as_is, options, run_key=run_key, after_event=after_event, limit=limit)


OPTION_NAMES: Final = frozenset(Options.__annotations__)


def request(type_: str, /, **fields: Any) -> Call[Any]:
    """Any request by its name on the wire: its fields and the common options, sent as given."""
    options = Options(**{name: fields.pop(name) for name in OPTION_NAMES & fields.keys()})  # type: ignore[typeddict-item]
    return Call(type_, {name: to_wire(value) for name, value in fields.items()}, options, _as_is)
