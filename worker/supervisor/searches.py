"""Searches of profiles: what is stored decides; whether a run is in memory is told beside it.

Permits are judged as for ``query_runs``: who may not read a run does not find it and is not told that it is counted.
Parameters, results and contexts are part of what the read lock of a run opens: guards are about variables.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.entities import Actor
from protocol.profiles import FacetRuns, FindRuns, SearchRuns
from worker.log.searching import FoundProfile, ProfilePage, Searches
from worker.runs.documents import parse_document
from worker.runs.permits import opened_by, standing
from worker.runs.query import EVERYTHING
from worker.runs.search import ProfileQuery, Reader, facets_of, search_tree, sort_of, tests_asked
from worker.runs.selection import Selection, parse_selection
from worker.settings import Settings
from worker.supervisor.profile_views import profile_ref, profile_view
from worker.supervisor.queries import PAGE_SHARE

SearchRequest = SearchRuns | FindRuns | FacetRuns


async def searched(
    store: Searches, request: SearchRequest, is_live: Callable[[str], bool], settings: Settings
) -> dict[str, Any]:
    """The result of a search.

    Raises:
        RequestError: INVALID_FILTER. TooSlowError: it takes too long, and nothing is told.
    """
    match request:
        case SearchRuns():
            query = _search_query(request, settings)
            return _page(query, await store.search(query), Selection(), is_live)
        case FindRuns():
            selection = parse_selection(request.select)
            query = _find_query(request, selection, settings)
            return _page(query, await store.search(query), selection, is_live)
        case FacetRuns():
            return await _facets(store, request, settings)


def reader_of(actor: Actor | None, settings: Settings) -> Reader | None:
    """Whose runs an actor may see, by the permits of ``worker.runs.permits``; None where they are not judged."""
    if settings.permits == "ignore" or actor is None or actor.role is None or actor.is_system:
        return None
    user_key = actor.user_key
    locks = _locks(actor, {})
    own = frozenset() if user_key is None else _locks(actor, {"user_key": user_key})
    return Reader(locks, user_key, own)


def _locks(actor: Actor, scope: dict[str, Any]) -> frozenset[str]:
    assert actor.role is not None  # noqa: S101 - only actors with a role are judged
    return frozenset(lock.value for lock in opened_by(standing(actor.role, actor.user_key, scope)))


def _search_query(request: SearchRuns | FacetRuns, settings: Settings) -> ProfileQuery:
    asked = request.query
    query = ProfileQuery(
        where=EVERYTHING if asked is None else search_tree(asked),
        reader=reader_of(request.actor, settings),
        test=asked is not None and bool(asked.test),
        max_bytes=settings.max_message_bytes // PAGE_SHARE,
        project=request.project_name,
    )
    if isinstance(request, FacetRuns):
        return query
    return replace(query, sort=sort_of(request.sort), first=request.first, count=request.max)


def _find_query(request: FindRuns, selection: Selection, settings: Settings) -> ProfileQuery:
    where = parse_document(request.filter)
    return ProfileQuery(
        where=where,
        reader=reader_of(request.actor, settings),
        test=None if tests_asked(where) else False,
        sort=sort_of(request.sort),
        first=request.first,
        count=request.max,
        whole=selection.is_large,
        max_bytes=settings.max_message_bytes // PAGE_SHARE,
        project=request.project_name,
    )


def _page(
    query: ProfileQuery, page: ProfilePage, selection: Selection, is_live: Callable[[str], bool]
) -> dict[str, Any]:
    values = [_shown(found, selection, live=is_live(found.run.run_key)) for found in page.found]
    return {"first": query.first, "total": page.total, "values": values}


def _shown(found: FoundProfile, selection: Selection, *, live: bool) -> dict[str, Any]:
    view = profile_view if selection.is_large else profile_ref
    return selection.of({**view(found.profile, found.run, live=live), "metadata": dict(found.metadata)})


async def _facets(store: Searches, request: FacetRuns, settings: Settings) -> dict[str, Any]:
    places = facets_of([(facet.name, facet.field) for facet in request.facets])
    counts = await store.count_facets(_search_query(request, settings), list(places.values()))
    facets = {
        name: {
            "buckets": [{"value": value, "count": count} for value, count in counted.buckets],
            "truncated": counted.truncated,
        }
        for name, counted in zip(places, counts.facets, strict=True)
    }
    return {"total": counts.total, "facets": facets}
