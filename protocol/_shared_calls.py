"""What a client can ask about runs that are shared by name, or found by what they are; see ``protocol._calls``."""

from typing import Any, Literal, Unpack

from protocol._call import Call, Fields, Options
from protocol._call import as_is as _as_is
from protocol._call import call as _call
from protocol._call import nothing as _nothing
from protocol._call import run as _run
from protocol.entities import Address, Permit, Run, Scope
from protocol.sharing import Strategy


def create_singular_run(
    model_file: str,
    *,
    permit: Permit | Fields | None = None,
    morphology: Literal["SINGULAR"] | None = None,
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
    """The one singular run of the project: the one there is, as it is, or a new one in memory."""
    return _call(
        "create_singular_run",
        _run,
        options,
        model_file=model_file,
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


def get_singular_run_key(**options: Unpack[Options]) -> Call[Any]:
    """The key of the project's singular run, or None; never starts a process."""
    return _call("get_singular_run_key", _as_is, options)


def open_world_run(
    world_key: str,
    model_file: str,
    *,
    permit: Permit | Fields | None = None,
    morphology: Literal["MANY"] | None = None,
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
    """The run of a world, in memory: the one it has, or a new one."""
    return _call(
        "open_world_run",
        _run,
        options,
        world_key=world_key,
        model_file=model_file,
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


def close_world_run(world_key: str, **options: Unpack[Options]) -> Call[Any]:
    """Close the run of a world, which has none afterwards; idempotent. None."""
    return _call("close_world_run", _nothing, options, world_key=world_key)


def assign_world_run(world_key: str, run_key: str, **options: Unpack[Options]) -> Call[Any]:
    """Make a run that there is the run of a world; the one it had stays as it is. None."""
    return _call("assign_world_run", _nothing, options, world_key=world_key, run_key=run_key)


def get_run_with_strategy(
    strategy: Strategy,
    model_file: str,
    *,
    scope: Scope | Fields | None = None,
    permit: Permit | Fields | None = None,
    morphology: Literal["MANY"] | None = None,
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
    """A run that fits, or a new one: ``multiplayer`` brings it into memory, the others find it as it is."""
    return _call(
        "get_run_with_strategy",
        _run,
        options,
        strategy=strategy,
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
