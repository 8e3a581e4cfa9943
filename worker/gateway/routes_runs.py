"""Endpoints of runs themselves: their lives, their attributes, finding them."""

from typing import Any, Final

from protocol.entities import Role, ScopeBoundary
from protocol.offers import Introspection
from worker.gateway import answers_epicenter as answers
from worker.gateway import bodies
from worker.gateway.endpoints import NO_CONTENT, Ask, Endpoint, NoContent
from worker.gateway.faults import incomprehensible
from worker.gateway.views import names_of, page_view, run_view


def address_of(ask: Ask, given: dict[str, Any] | None, scope: dict[str, Any]) -> dict[str, Any]:
    """Where a new run is found.

    A group or episode whose name is neither in the body nor in the token goes by its key, as a worker knows no names.
    """
    account, project = ask.place
    address = {"account_short_name": account, "project_short_name": project, **(given or {})}
    boundary, key = scope.get("scope_boundary"), scope.get("scope_key")
    if boundary == ScopeBoundary.EPISODE:
        address.setdefault("episode_name", key)
    own = ask.caller.group_name
    if boundary != ScopeBoundary.GROUP:
        fallback = own if boundary in (ScopeBoundary.EPISODE, ScopeBoundary.WORLD) else None
    else:
        fallback = own if own is not None and key == ask.caller.actor.get("group_key") else key
    if fallback is not None:
        address.setdefault("group_name", fallback)
    return address


async def create(ask: Ask) -> Any:
    """A new run, in memory."""
    fields = ask.body.fields()
    fields["address"] = address_of(ask, fields.get("address"), fields["scope"])
    return run_view(await ask.result("create_run", **fields))


async def create_singular(ask: Ask) -> Any:
    """The project's one singular run."""
    fields = ask.body.fields()
    fields["address"] = address_of(ask, fields.get("address"), {})
    return run_view(await ask.result("create_singular_run", **fields))


async def singular_key(ask: Ask) -> Any:
    """Its key, or null."""
    return await ask.result("get_singular_run_key")


async def _of_run(ask: Ask, type_: str, **more: Any) -> dict[str, Any]:
    fields = ask.body.fields() if ask.body is not None else {}
    return run_view(await ask.result(type_, run_key=ask.path["runKey"], **fields, **more))


async def clone(ask: Ask) -> Any:
    """A copy under a new key."""
    return await _of_run(ask, "clone_run")


async def migrate(ask: Ask) -> Any:
    """A copy in an episode."""
    return await _of_run(ask, "migrate_run", episode_key=ask.path["episodeKey"])


async def restore(ask: Ask) -> Any:
    """Into memory."""
    return await _of_run(ask, "restore_run")


async def rewind(ask: Ask) -> Any:
    """Back by steps."""
    return await _of_run(ask, "rewind_run")


async def get(ask: Ask) -> Any:
    """The run as it is stored."""
    return await _of_run(ask, "get_run")


async def update(ask: Ask) -> Any:
    """New attributes."""
    return await ask.of_one_or_many("update_run", run_view, **ask.body.fields())


async def remove(ask: Ask) -> NoContent:
    """Out of memory."""
    await ask.result("evict_run", run_key=ask.path["runKey"])
    return NO_CONTENT


async def page_of(ask: Ask, **where: Any) -> Any:
    """A page of runs, as the query asks for it; ``where``: fields of the worker's request that say of which runs."""
    query: bodies.RunsQuery = ask.query
    variables, metadata = names_of(query.var), names_of(query.meta)
    page = await ask.result(
        "query_runs",
        filter=query.filter,
        sort=query.sort,
        variables=list(dict.fromkeys(variables)) or None,
        metadata=list(dict.fromkeys(metadata)) or None,
        first=query.first,
        max=query.max,
        **where,
    )
    return page_view(page, variables)


async def query_scope(ask: Ask) -> Any:
    """Of a scope."""
    if ask.query.include_episodes:
        raise incomprehensible("includeEpisodes: is for /run/in/{group}/{model} only", path="includeEpisodes")
    scope = {"scope_boundary": ask.path["boundary"], "scope_key": ask.path["scopeKey"]}
    return await page_of(ask, model_file=ask.path["model"], scope=scope)


async def query_group(ask: Ask) -> Any:
    """Of a group."""
    return await page_of(
        ask,
        model_file=ask.path["model"],
        group_name=ask.path["group"],
        include_episodes=ask.query.include_episodes or None,
    )


async def query_episode(ask: Ask) -> Any:
    """Of an episode."""
    if ask.query.include_episodes:
        raise incomprehensible("includeEpisodes: is for /run/in/{group}/{model} only", path="includeEpisodes")
    return await page_of(
        ask, model_file=ask.path["model"], group_name=ask.path["group"], episode_name=ask.path["episode"]
    )


async def introspect_model(ask: Ask) -> Any:
    """What a model offers."""
    return await ask.result("introspect_model", model_file=ask.path["model"])


async def introspect_run(ask: Ask) -> Any:
    """What the model of a run offers."""
    return await ask.result("introspect_run", run_key=ask.path["runKey"])


_P, _A, _F = Role.PARTICIPANT, Role.ANONYMOUS, Role.FACILITATOR

ENDPOINTS: Final = (
    Endpoint("create", "POST", "/run", _P, "Start a run", create, bodies.CreateBody, result=answers.Run),
    Endpoint("update", "PATCH", "/run", _P, "Change attributes of several runs", update, bodies.UpdateBody, bodies.ManyQuery, dict[str, answers.Run | answers.Fault]),
    Endpoint("createSingular", "POST", "/run/singular", _P, "The singular run of the project, made where there is none", create_singular, bodies.SingularBody, result=answers.Run),
    Endpoint("getSingularRunKey", "GET", "/run/singular/key", _A, "The key of the singular run, or null", singular_key, result=str | None),
    Endpoint("clone", "POST", "/run/clone/{runKey}", _P, "Copy a run", clone, bodies.CloneBody, result=answers.Run),
    Endpoint("migrate", "POST", "/run/migrate/to/{episodeKey}/{runKey}", _F, "Copy a run into an episode", migrate, bodies.CloneBody, result=answers.Run),
    Endpoint("restore", "POST", "/run/restore/{runKey}", _P, "Bring a run into memory", restore, bodies.RestoreBody, result=answers.Run),
    Endpoint("rewind", "POST", "/run/rewind/{runKey}", _P, "Take steps of a run back", rewind, bodies.RewindBody, result=answers.Run),
    Endpoint("introspect", "GET", "/run/introspect/model/{model:path}", _P, "Operations and variables of a model", introspect_model, result=Introspection),
    Endpoint("introspectWithRunKey", "GET", "/run/introspect/{runKey}", _P, "Operations and variables of a run's model", introspect_run, result=Introspection),
    Endpoint("queryGroup", "GET", "/run/in/{group}/{model}", _P, "Find runs of a group", query_group, None, bodies.RunQuery, answers.Page),
    Endpoint("queryEpisode", "GET", "/run/in/{group}/{episode}/{model:path}", _P, "Find runs of an episode", query_episode, None, bodies.RunQuery, answers.Page),
)  # fmt: skip

LAST: Final = (
    Endpoint("query", "GET", "/run/{boundary}/{scopeKey}/{model:path}", _P, "Find runs of a scope", query_scope, None, bodies.RunQuery, answers.Page),
    Endpoint("get", "GET", "/run/{runKey}", _P, "A run; starts no process", get, result=answers.Run),
    Endpoint("updateOne", "PATCH", "/run/{runKey}", _P, "Change attributes of a run", update, bodies.UpdateBody, result=answers.Run),
    Endpoint("remove", "DELETE", "/run/{runKey}", _P, "Take a run out of memory; nothing is deleted", remove, result=NoContent),
)  # fmt: skip
"""Behind all others: a key takes any place that no word has taken."""
