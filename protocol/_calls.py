"""What a client can ask, once for both clients: each function builds one request and knows its result.

What is asked about what is kept of runs stands in ``protocol._reading_calls``, about their profiles in
``protocol._profile_calls``, about shared runs in ``protocol._shared_calls``, by providers in ``protocol._function_calls``.

Functions whose request takes many runs accept ``run_keys`` instead of ``run_key``; the result is then a map from
run key to a result, or to the ``ProtocolError`` of that run.
"""

from collections.abc import Sequence
from typing import Any, Unpack

from protocol._call import Call, Fields, NewRun, Options, apart, to_wire
from protocol._call import as_is as _as_is
from protocol._call import call as _call
from protocol._call import nothing as _nothing
from protocol._call import run as _run
from protocol.actions import Execute, Get, Set
from protocol.entities import Morphology, Permit, Ritual, Run, Scope


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
    morphology: Morphology | None = None,
    **options: Unpack[NewRun],
) -> Call[Run]:
    """Start a new run of ``model_file``, a path below the worker's model root."""
    return _call(
        "create_run",
        _run,
        options,
        model_file=model_file,
        scope=scope,
        morphology=morphology,
    )


def get_run(run_key: str, **options: Unpack[Options]) -> Call[Run]:
    """The run's record; never starts a process."""
    return _call("get_run", _run, options, run_key=run_key)


def query_runs(
    *,
    model_file: str | None = None,
    scope: Scope | Fields | None = None,
    group_name: str | None = None,
    episode_name: str | None = None,
    include_episodes: bool | None = None,
    filter: str | None = None,  # noqa: A002 - the protocol's own name for it
    sort: str | None = None,
    variables: Sequence[str] | None = None,
    metadata: Sequence[str] | None = None,
    first: int | None = None,
    max: int | None = None,  # noqa: A002 - the protocol's own name for it
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Find runs: ``{first_result, max_results, total_results, values}``, where ``values`` are maps like a Run.

    The next page begins at ``first_result + max_results``.
    """
    return _call(
        "query_runs",
        _as_is,
        options,
        model_file=model_file,
        scope=scope,
        group_name=group_name,
        episode_name=episode_name,
        include_episodes=include_episodes,
        filter=filter,
        sort=sort,
        variables=variables,
        metadata=metadata,
        first=first,
        max=max,
    )


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
    attached_functions: Sequence[Fields] | None = None,
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
        attached_functions=attached_functions,
    )


def migrate_run(
    run_key: str,
    episode_key: str,
    *,
    tracking_key: str | None = None,
    model_context: Fields | None = None,
    execution_context: Fields | None = None,
    ephemeral: bool | None = None,
    at_seq: int | None = None,
    attached_functions: Sequence[Fields] | None = None,
    **options: Unpack[Options],
) -> Call[Run]:
    """Copy a run as ``clone_run`` does, into the scope of an episode; its user stays."""
    return _call(
        "migrate_run",
        _run,
        options,
        run_key=run_key,
        episode_key=episode_key,
        tracking_key=tracking_key,
        model_context=model_context,
        execution_context=execution_context,
        ephemeral=ephemeral,
        at_seq=at_seq,
        attached_functions=attached_functions,
    )


def call_operation(
    run_key: str | None = None,
    name: str | None = None,
    arguments: Sequence[Any] | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    ritual: Ritual | str | None = None,
    reasoning: str | None = None,
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
        reasoning=reasoning,
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
    reasoning: str | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Assign variables in the order of the map: their new values by name."""
    return _call(
        "write_variables",
        _as_is,
        options,
        run_key=run_key,
        run_keys=run_keys,
        values=values,
        ritual=ritual,
        reasoning=reasoning,
    )


def perform_actions(
    run_key: str | None = None,
    actions: Sequence[Execute | Get | Set | Fields] | None = None,
    *,
    run_keys: Sequence[str] | None = None,
    ritual: Ritual | str | None = None,
    reasoning: str | None = None,
    **options: Unpack[Options],
) -> Call[list[dict[str, Any]] | Any]:
    """Perform actions in order: a list of ``{kind, name, result}`` or ``{kind, name, value}``.

    Stops at the first error, whose ``information`` has ``index`` and ``completed``.
    """
    return _call(
        "perform_actions",
        _as_is,
        options,
        run_key=run_key,
        run_keys=run_keys,
        actions=actions,
        ritual=ritual,
        reasoning=reasoning,
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


def request(type_: str, /, **fields: Any) -> Call[Any]:
    """Any request by its name on the wire: its fields and the common options, sent as given."""
    options, own = apart(fields)
    return Call(type_, {name: to_wire(value) for name, value in own.items()}, options, _as_is)
