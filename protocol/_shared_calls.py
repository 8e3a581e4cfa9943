"""What a client can ask about runs that are shared by name, or found by what they are, and the methods of both clients for it; see ``protocol._calls``."""

from typing import Any, Literal, Unpack

from protocol._call import Call, Fields, NewRun, Options
from protocol._call import as_is as _as_is
from protocol._call import call as _call
from protocol._call import nothing as _nothing
from protocol._call import run as _run
from protocol._methods import awaitable as _awaitable
from protocol._methods import blocking as _blocking
from protocol.entities import Run, Scope
from protocol.sharing import Strategy


def create_singular_run(
    model_file: str,
    *,
    morphology: Literal["SINGULAR"] | None = None,
    **options: Unpack[NewRun],
) -> Call[Run]:
    """The one singular run of the project: the one there is, as it is, or a new one in memory."""
    return _call(
        "create_singular_run",
        _run,
        options,
        model_file=model_file,
        morphology=morphology,
    )


def get_singular_run_key(**options: Unpack[Options]) -> Call[Any]:
    """The key of the project's singular run, or None; never starts a process."""
    return _call("get_singular_run_key", _as_is, options)


def open_world_run(
    world_key: str,
    model_file: str,
    *,
    morphology: Literal["MANY"] | None = None,
    **options: Unpack[NewRun],
) -> Call[Run]:
    """The run of a world, in memory: the one it has, or a new one."""
    return _call(
        "open_world_run",
        _run,
        options,
        world_key=world_key,
        model_file=model_file,
        morphology=morphology,
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
    morphology: Literal["MANY"] | None = None,
    **options: Unpack[NewRun],
) -> Call[Run]:
    """A run that fits, or a new one: ``multiplayer`` brings it into memory, the others find it as it is."""
    return _call(
        "get_run_with_strategy",
        _run,
        options,
        strategy=strategy,
        model_file=model_file,
        scope=scope,
        morphology=morphology,
    )


class BlockingSharing:
    """The methods of a client that waits."""

    create_singular_run = _blocking(create_singular_run)
    get_singular_run_key = _blocking(get_singular_run_key)
    open_world_run = _blocking(open_world_run)
    close_world_run = _blocking(close_world_run)
    assign_world_run = _blocking(assign_world_run)
    get_run_with_strategy = _blocking(get_run_with_strategy)


class AwaitableSharing:
    """The methods of a client that is awaited."""

    create_singular_run = _awaitable(create_singular_run)
    get_singular_run_key = _awaitable(get_singular_run_key)
    open_world_run = _awaitable(open_world_run)
    close_world_run = _awaitable(close_world_run)
    assign_world_run = _awaitable(assign_world_run)
    get_run_with_strategy = _awaitable(get_run_with_strategy)
