"""Queries over runs: what is stored of them decides, what is in memory is told beside it.

Ephemeral runs are not stored, so no query finds them; of a stored run that is in memory as an ephemeral
incarnation, the stored row is told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from protocol.entities import Role, ScopeBoundary
from protocol.errors import ErrorCode
from protocol.messages import QueryRuns
from worker.channel import unpack
from worker.errors import RequestError
from worker.log.base import FoundRun, Store
from worker.runs.comparison import Literal, Operator
from worker.runs.filters import parse_filter, parse_sort
from worker.runs.guards import Access, Guard, asker_of, judge
from worker.runs.permits import opened_by, standing
from worker.runs.query import Every, Node, Not, RunQuery, Some, Source, Test
from worker.settings import Settings

MAX_PAGE: Final = 200
"""Epicenter's own limit; a larger page is asked for in vain, and the answer tells the size that was used."""
PAGE_SHARE: Final = 2
"""What runs carry of the caller's and the model's fills a reply to a half of its limit at most."""


async def runs_page(
    store: Store,
    request: QueryRuns,
    view: Callable[[FoundRun], dict[str, Any]],
    guards: Callable[[str], Sequence[Guard]],
    settings: Settings,
) -> dict[str, Any]:
    """The result of ``query_runs``; ``view`` shows a stored row as it is now, ``guards`` are those of a model file.

    Raises:
        RequestError: INVALID_FILTER; GUARD_VIOLATION where a variable that the request names may not be read.
    """
    query = run_query(request, settings)
    page = await store.query(query)
    _judge(request, variables_of(query), page.found, guards)
    ends_early = len(page.found) < min(query.count, page.total - query.first)
    return {
        "first_result": query.first,
        "max_results": len(page.found) if ends_early else query.count,
        "total_results": page.total,
        "values": [_shown(found, query, view) for found in page.found],
    }


def run_query(request: QueryRuns, settings: Settings) -> RunQuery:
    """What a request asks of the store: among the runs that its actor may read."""
    return RunQuery(
        where=_every(*_readable(request, settings), *_place(request), parse_filter(request.filter or "")),
        sort=parse_sort(request.sort or ""),
        first=request.first,
        count=min(request.max, MAX_PAGE),
        variables=None if request.variables is None else tuple(request.variables),
        metadata=None if request.metadata is None else tuple(request.metadata),
        max_bytes=settings.max_message_bytes // PAGE_SHARE,
        project=request.project_name,
    )


def _readable(request: QueryRuns, settings: Settings) -> list[Node]:
    """The permits of ``worker.runs.permits``, as a condition; none where they are not judged."""
    actor = request.actor
    if settings.permits == "ignore" or actor is None or actor.role is None or actor.is_system:
        return []
    others = _opened(standing(actor.role, actor.user_key, {}))
    if actor.user_key is None:
        return [others]
    own = _opened(standing(actor.role, actor.user_key, {"user_key": actor.user_key}))
    return [Some((others, Every((_is("user_key", actor.user_key), own))))]


def _opened(role: Role) -> Some:
    return Some(tuple(_is("read_lock", lock.value) for lock in opened_by(role)))


def variables_of(query: RunQuery) -> tuple[str, ...]:
    """The variables that an answer tells something of, each once."""
    return tuple(dict.fromkeys([*(query.variables or ()), *_tested(query.where)]))


def _tested(node: Node) -> Iterator[str]:
    match node:
        case Test():
            if node.source is Source.VARIABLE:
                yield node.name
        case Not():
            yield from _tested(node.test)
        case Every() | Some():
            for part in node.parts:
                yield from _tested(part)


def _judge(
    request: QueryRuns,
    names: Sequence[str],
    found: Sequence[FoundRun],
    guards: Callable[[str], Sequence[Guard]],
) -> None:
    for run in (one.run for one in found) if names else ():
        held = guards(run.model_file)
        asker = asker_of(request.actor, run.scope)
        for name in names if held else ():
            refusal = judge(held, asker, Access.READ, name)
            if refusal is not None:
                message = f"run {run.run_key}: {refusal.message}"
                raise RequestError(
                    ErrorCode.GUARD_VIOLATION, message, run_key=run.run_key, **refusal.information
                )


def _place(request: QueryRuns) -> list[Node]:
    """Scopes do not nest: a group's runs are those of boundary GROUP, its episodes' those of boundary EPISODE."""
    place: list[Node] = []
    if request.scope is not None:
        place += [_is("scope_key", request.scope.scope_key), _boundary(request.scope.scope_boundary)]
        if request.scope.user_key is not None:
            place.append(_is("user_key", request.scope.user_key))
    if request.group_name is not None:
        place.append(_is("group_name", request.group_name))
        if request.episode_name is not None:
            place += [_is("episode_name", request.episode_name), _boundary(ScopeBoundary.EPISODE)]
        elif request.include_episodes:
            place.append(Some((_boundary(ScopeBoundary.GROUP), _boundary(ScopeBoundary.EPISODE))))
        else:
            place.append(_boundary(ScopeBoundary.GROUP))
    if request.model_file is not None:
        place.append(_is("model_file", request.model_file))
    return place


def _is(attribute: str, value: str) -> Test:
    return Test(Source.RUN, attribute, Operator.EQUAL, Literal(value))


def _boundary(boundary: ScopeBoundary) -> Test:
    return _is("scope_boundary", boundary.value)


def _every(*nodes: Node) -> Every:
    """One level of what must hold, so that the store sees all of it."""
    return Every(
        tuple(part for node in nodes for part in (node.parts if isinstance(node, Every) else (node,)))
    )


def _shown(found: FoundRun, query: RunQuery, view: Callable[[FoundRun], dict[str, Any]]) -> dict[str, Any]:
    shown = view(found)
    if query.variables is not None:
        shown["variables"] = _values(query.variables, found.variables)
    if query.metadata is not None:
        shown["meta_data"] = _values(query.metadata, found.metadata)
    return shown


def _values(names: tuple[str, ...], values: Mapping[str, bytes]) -> dict[str, Any]:
    return {name: unpack(values[name]) if name in values else None for name in names}
