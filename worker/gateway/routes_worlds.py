"""Endpoints of worlds. A worker holds which run a world has, and nothing else of it."""

from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from protocol.entities import Role
from worker.gateway import answers_epicenter as answers
from worker.gateway import bodies
from worker.gateway.endpoints import NO_CONTENT, Ask, Endpoint, NoContent
from worker.gateway.faults import Fault, incomprehensible
from worker.gateway.routes_runs import address_of
from worker.gateway.views import run_view

_PAGE: Final = 200


def not_served(what: str, why: str) -> Fault:
    """Part of Epicenter, and not of a worker."""
    return Fault(501, "NOT_SERVED", f"{what}: {why}")


def quoted(text: str) -> str:
    """A text as a filter holds it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def world_view(world_key: str, run_key: str | None, address: dict[str, Any] | None = None) -> dict[str, Any]:
    """What can be told of a world: its run, and where that is. Nobody is known to play it."""
    place = address or {}
    orbit = "EPISODE" if place.get("episode_name") else "GROUP" if place.get("group_name") else None
    view: dict[str, Any] = {
        "worldKey": world_key,
        "runKey": run_key,
        "orbitType": orbit,
        "groupName": place.get("group_name"),
        "episodeName": place.get("episode_name"),
        "personae": [],
        "assignments": [],
    }
    return {name: value for name, value in view.items() if value is not None}


async def retrieve(ask: Ask) -> Any:
    """The run of a world, in memory."""
    world_key = ask.path["worldKey"]
    fields = ask.body.fields()
    scope = {"scope_boundary": "WORLD", "scope_key": world_key}
    fields["address"] = address_of(ask, fields.get("address"), scope)
    return run_view(await ask.result("open_world_run", world_key=world_key, **fields))


async def remove(ask: Ask) -> NoContent:
    """The run of a world is closed, and the world has none."""
    await ask.result("close_world_run", world_key=ask.path["worldKey"])
    return NO_CONTENT


async def assign(ask: Ask) -> Any:
    """Another run for a world."""
    world_key, run_key = ask.path["worldKey"], ask.body.run_key
    await ask.result("assign_world_run", world_key=world_key, run_key=run_key)
    run = await ask.result("get_run", run_key=run_key)
    return world_view(world_key, run_key, run.get("address"))


async def update(ask: Ask) -> Any:
    """Another run for a world; its name and its channel are not the worker's."""
    body: bodies.WorldBody = ask.body
    for name in ("display_name", "allow_channel"):
        if name in body.model_fields_set:
            raise not_served(
                "displayName" if name == "display_name" else "allowChannel",
                "a worker holds of a world only its run; keep this in the application",
            )
    if body.run_key is None:
        raise incomprehensible(
            "runKey: is missing, and nothing else of a world can be changed", path="runKey"
        )
    return await assign(ask)


async def _runs(ask: Ask, condition: str) -> AsyncIterator[dict[str, Any]]:
    """All runs that meet a condition, newest first; those that come meanwhile are not looked for."""
    first = 0
    while True:
        page = await ask.result("query_runs", filter=condition, sort="-run.created", first=first, max=_PAGE)
        for run in page["values"]:
            yield run
        first += page["max_results"]
        if first >= page["total_results"]:
            return


async def destroy(ask: Ask) -> NoContent:
    """The world's run is closed, and so is every run in its scope."""
    world_key = ask.path["worldKey"]
    await ask.result("close_world_run", world_key=world_key)
    condition = f"run.scope_boundary=WORLD;run.scope_key={quoted(world_key)};run.closed=false"
    run_keys = [run["run_key"] async for run in _runs(ask, condition)]
    for run_key in run_keys:
        await ask.result("update_run", run_key=run_key, closed=True)
    return NO_CONTENT


async def get(ask: Ask) -> Any:
    """The worlds whose runs were created in a group, or an episode of it."""
    place = f"run.group_name={quoted(ask.path['group'])}"
    if "episode" in ask.path:
        place += f";run.episode_name={quoted(ask.path['episode'])}"
    newest: dict[str, dict[str, Any]] = {}
    async for run in _runs(ask, f"run.world_key*=true;{place};run.closed=false;run.hidden=false"):
        newest.setdefault(run["address"]["world_key"], run)
    return [
        world_view(world_key, run["run_key"], run["address"])
        for world_key, run in newest.items()
        if not ask.query.mine or world_key == ask.caller.world_key
    ]


async def consensus(ask: Ask) -> Any:
    """A barrier is a count of who agreed: that is nothing a worker holds."""
    raise not_served(
        f"consensus {ask.path['name']}/{ask.path['stage']}",
        "barriers are not kept here; perform the actions on the world's run with POST /run/action",
    )


async def unserved(request: Request) -> Response:
    """Refused by name: nothing that is not held is answered as if there were none of it."""
    raise not_served(
        f"{request.method} {request.url.path}",
        "a worker holds of a world only its run, which POST /run/world/{worldKey} makes; names, personae, "
        "assignments and barriers are the application's",
    )


_ANY: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

UNSERVED_FIRST: Final = tuple(
    Route(path, unserved, methods=_ANY)
    for word in ("persona", "assignment", "selfassign")
    for path in (f"/world/{word}", f"/world/{word}/{{rest:path}}")
)
"""In front of endpoints with a key in the place of these words."""

UNSERVED_LAST: Final = (
    Route("/world/{group}", unserved, methods=["POST"]),
    Route("/world/{group}/{episode}", unserved, methods=["POST"]),
    Route("/consensus/{rest:path}", unserved, methods=_ANY),
)
"""Behind all endpoints."""

_P, _F = Role.PARTICIPANT, Role.FACILITATOR

ENDPOINTS: Final = (
    Endpoint("retrieveFromWorld", "POST", "/run/world/{worldKey}", _P, "The run of a world in memory, made where there is none", retrieve, bodies.WorldRunBody, result=answers.Run),
    Endpoint("removeFromWorld", "DELETE", "/run/world/{worldKey}", _P, "Close the run of a world", remove, result=NoContent),
    Endpoint("assignRun", "PATCH", "/world/run/{worldKey}", _F, "Give a world another run", assign, bodies.AssignBody, result=answers.World),
    Endpoint("updateWorld", "PATCH", "/world/{worldKey}", _F, "Give a world another run", update, bodies.WorldBody, result=answers.World),
    Endpoint("destroyWorld", "DELETE", "/world/{worldKey}", _F, "Close all runs of a world", destroy, result=NoContent),
    Endpoint("getWorlds", "GET", "/world/{group}", _P, "Worlds of a group that have a run", get, None, bodies.WorldQuery, list[answers.World]),
    Endpoint("getWorldsOfEpisode", "GET", "/world/{group}/{episode}", _P, "Worlds of an episode that have a run", get, None, bodies.WorldQuery, list[answers.World]),
    Endpoint("publish", "POST", "/consensus/publish/{worldKey}/{name}/{stage}", _P, "Not served", consensus, bodies.AnyBody),
    Endpoint("trigger", "POST", "/consensus/trigger/{worldKey}/{name}/{stage}", _P, "Not served", consensus, bodies.AnyBody),
)  # fmt: skip
