"""What a client can ask about the profiles of runs, and the methods of both clients for it; see ``protocol._calls``."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from protocol._call import Call, Fields, NewRun, Options
from protocol._call import as_is as _as_is
from protocol._call import call as _call
from protocol._methods import awaitable as _awaitable
from protocol._methods import blocking as _blocking
from protocol.actions import Execute, Get, Set
from protocol.entities import Scope
from protocol.profiles import Configured, Evaluation, Facet, Order, SearchQuery, Source


class StartRun(NewRun, total=False):
    """What a run that is started by itself may be told besides; see ``protocol.profiles.StartRun``."""

    scope: Scope | Fields | None
    run_id: str | None
    name: str | None
    tags: Sequence[str] | None
    parent: str | None
    source: Source | Fields | None
    created_by: str | None
    config: Configured | Fields | None
    data: Any
    prompt: str | None
    actions: Sequence[Execute | Get | Set | Fields] | None
    result_schema: Fields | bool | None
    result_mode: Literal["null", "strict"] | None
    attached_functions: Sequence[Fields] | None
    interactive: bool | None
    reasoning_traces: bool | None
    call_summarization: bool | None
    on_status_change: Fields | None
    context: Fields | None
    ttl_seconds: int | None
    test: bool | None
    mocks: Mapping[str, Fields] | None
    wait_seconds: float | None


def start_run(model_file: str, **options: Unpack[StartRun]) -> Call[dict[str, Any]]:
    """A run that comes up by itself and is asked its initial actions: ``{run, created}``, durable when answered."""
    return _call("start_run", _as_is, options, model_file=model_file)


def get_profile(
    run_key: str | None = None,
    *,
    run_id: str | None = None,
    wait_seconds: float | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """The profile of a run, by its key or the id that its caller chose; waits at most ``wait_seconds`` for its course."""
    return _call("get_profile", _as_is, options, run_key=run_key, run_id=run_id, wait_seconds=wait_seconds)


def update_profile(
    run_key: str,
    *,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    evaluation: Evaluation | Fields | None = None,
    ttl_seconds: int | None = None,
    detach: bool | None = None,
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Change what people say of a run; gives its profile. ``detach``: it has no parent any more."""
    return _call(
        "update_profile",
        _as_is,
        options,
        run_key=run_key,
        name=name,
        tags=tags,
        evaluation=evaluation,
        ttl_seconds=ttl_seconds,
        detach=detach,
    )


def delete_run(run_key: str, **options: Unpack[Options]) -> Call[Any]:
    """Delete a run with all that is kept of it: ``{run_key}``; its children stay."""
    return _call("delete_run", _as_is, options, run_key=run_key)


def search_runs(
    query: SearchQuery | Fields | None = None,
    *,
    sort: Sequence[Order | Fields] | None = None,
    first: int | None = None,
    max: int | None = None,  # noqa: A002 - the protocol's own name for it
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Find runs by their profiles, the newest change first: ``{total, first, values}``, without what may be large."""
    return _call("search_runs", _as_is, options, query=query, sort=sort, first=first, max=max)


def find_runs(
    filter: Fields,  # noqa: A002 - the protocol's own name for it
    *,
    select: str | None = None,
    sort: Sequence[Order | Fields] | None = None,
    first: int | None = None,
    max: int | None = None,  # noqa: A002 - the protocol's own name for it
    **options: Unpack[Options],
) -> Call[dict[str, Any]]:
    """Find runs by a document of operators: ``{total, first, values}`` with the fields that ``select`` names."""
    return _call("find_runs", _as_is, options, filter=filter, select=select, sort=sort, first=first, max=max)


def facet_runs(
    facets: Sequence[Facet | Fields], *, query: SearchQuery | Fields | None = None, **options: Unpack[Options]
) -> Call[dict[str, Any]]:
    """Count runs by values: ``{total, facets}``, where each facet is ``{buckets: [{value, count}], truncated}``."""
    return _call("facet_runs", _as_is, options, facets=facets, query=query)


def decide_action(
    run_key: str, action_id: str, *, approved: bool, **options: Unpack[Options]
) -> Call[dict[str, Any]]:
    """Have a request that waits for approval performed, or refused: ``{action_id, approved}``; once."""
    return _call("decide_action", _as_is, options, run_key=run_key, action_id=action_id, approved=approved)


class BlockingProfiles:
    """The methods of a client that waits."""

    start_run = _blocking(start_run)
    get_profile = _blocking(get_profile)
    update_profile = _blocking(update_profile)
    delete_run = _blocking(delete_run)
    search_runs = _blocking(search_runs)
    find_runs = _blocking(find_runs)
    facet_runs = _blocking(facet_runs)
    decide_action = _blocking(decide_action)


class AwaitableProfiles:
    """The methods of a client that is awaited."""

    start_run = _awaitable(start_run)
    get_profile = _awaitable(get_profile)
    update_profile = _awaitable(update_profile)
    delete_run = _awaitable(delete_run)
    search_runs = _awaitable(search_runs)
    find_runs = _awaitable(find_runs)
    facet_runs = _awaitable(facet_runs)
    decide_action = _awaitable(decide_action)
