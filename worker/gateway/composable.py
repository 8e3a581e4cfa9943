"""The Composable runs API: searchable runs of interactions, which here are model files."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from protocol.entities import RUN_KEY, Role
from worker.gateway import answers_composable as answers
from worker.gateway import composable_bodies as bodies
from worker.gateway import results
from worker.gateway.answers import Traces
from worker.gateway.callers import Caller
from worker.gateway.composable_documents import selected, worker_document
from worker.gateway.composable_filters import listed, searched, text_list
from worker.gateway.composable_views import (
    FIELDS,
    buckets_of,
    facets_view,
    found_view,
    id_of,
    ref_view,
    run_view,
    status_of,
)
from worker.gateway.endpoints import Ask, Endpoint
from worker.gateway.faces import Face, Place
from worker.gateway.faults import Fault, answer, incomprehensible

DEFAULT_PLACE: Final = ("default", "default")
_TAG_HEADER: Final = "x-interaction-tag"
_PROJECT_HEADER: Final = "x-project-id"


def place_of(_path: Mapping[str, str], headers: Mapping[str, str], caller: Caller) -> Place:
    """The project of ``x-project-id``, or the only one that the token is for.

    Raises:
        Fault: 400 where nothing says which one.
    """
    named = headers.get(_PROJECT_HEADER)
    if named is None:
        if caller.projects is None:
            return DEFAULT_PLACE
        if len(caller.projects) != 1:
            raise incomprehensible(f"{_PROJECT_HEADER}: is missing; the token is for several projects")
        (named,) = caller.projects
    account, slash, project = named.partition("/")
    if not slash:
        raise incomprehensible(f"{_PROJECT_HEADER}: {named!r} is not account/project", path=_PROJECT_HEADER)
    return account, project


def render(fault: Fault) -> Response:
    """A fault as ``{error, status, message, details}``."""
    status, error, details = fault.status, fault.code, fault.information
    if fault.hides_its_run:
        status, error = 404, "RUN_NOT_FOUND"
        return answer({"error": error, "status": status, "message": "no such run"}, status)
    body = {"error": error, "status": status, "message": fault.message, "details": details}
    return answer(body, status, fault.headers)


FACE: Final = Face("/api/v1", "Composable", place_of, render, answers.Fault, (_TAG_HEADER, *results.HEADERS))


def key_field(id_: str) -> dict[str, str]:
    """How a run is named to the worker."""
    return {"run_key": id_} if RUN_KEY.fullmatch(id_) else {"run_id": id_}


async def profile_of(ask: Ask, **more: Any) -> dict[str, Any]:
    """The profile of the run in the path."""
    profile: dict[str, Any] = await ask.result("get_profile", **key_field(ask.path["id"]), **more)
    ask.note_run(profile["run_key"])
    return profile


def source_of(ask: Ask, type_: str = "api") -> dict[str, str]:
    """Where a request came from: of what was authenticated, nothing of what it says."""
    actor = ask.caller.actor
    user = actor.get("user_key")
    return {
        "type": type_,
        "label": ask.caller.role.value,
        "principal_type": "user" if user else "apikey",
        "principal_id": user or "",
        "client_ip": ask.client_ip,
    }


def tagged(interaction: str, header: str | None, model: str | None) -> str:
    """The model file with the tag that is meant: of its name, of the header, of the configuration.

    Raises:
        Fault: 400 where two of them differ.
    """
    name, _, own = interaction.partition("@")
    tags = {tag for tag in (own, header or "", model or "") if tag and tag != "latest"}
    if len(tags) > 1:
        raise incomprehensible(
            f"interaction: tags {', '.join(sorted(tags))} differ ({_TAG_HEADER}, config.model and the name are to agree)",
            path="interaction",
        )
    return f"{name}@{tags.pop()}" if tags else name


async def create(ask: Ask) -> Any:
    """A new run, durable when answered; it goes on by itself."""
    body: bodies.RunBody = ask.body
    config = body.config
    strict = config.do_validate if body.do_validate is None else body.do_validate
    has_environment = config.environment not in (None, "default")
    started = await ask.result(
        "start_run",
        model_file=tagged(body.interaction, ask.given.get(_TAG_HEADER), config.model),
        run_id=body.id,
        name=body.name,
        tags=None if body.tags is None else text_list(body.tags),
        parent=None if body.parent is None else await _key_of(ask, body.parent),
        metadata=body.metadata,
        data=body.data,
        result_schema=body.result_schema,
        result_mode=None if strict is None else "strict" if strict else "null",
        context=body.context,
        ttl_seconds=body.ttl,
        source=source_of(ask),
        model_context={"workerImage": config.environment} if has_environment else None,
        ephemeral=True if config.run_data == "RESTRICTED" else None,
        reasoning_traces=config.run_data == "DEBUG",
        call_summarization=False,
        wait_seconds=None if body.stream else body.wait_time,
    )
    profile = started["run"]
    ask.note_run(profile["run_key"])
    ask.status = 201 if started["created"] else 200
    if body.wait_time and not body.stream:
        return {**run_view(profile, ask.place), "created": started["created"]}
    return {"id": id_of(profile), "status": status_of(profile), "created": started["created"]}


async def _key_of(ask: Ask, id_: str) -> Any:
    """The key of a run that the caller may see."""
    profile = await ask.result("get_profile", **key_field(id_))
    return profile["run_key"]


async def get(ask: Ask) -> Any:
    """A run, whole."""
    return run_view(await profile_of(ask), ask.place)


async def update(ask: Ask) -> Any:
    """What people say of a run."""
    body: bodies.UpdateRunBody = ask.body
    profile = await profile_of(ask)
    updated = await ask.result(
        "update_profile",
        run_key=profile["run_key"],
        name=body.name,
        tags=None if body.tags is None else text_list(body.tags),
        evaluation=None if body.evaluation is None else body.evaluation.model_dump(exclude_none=True),
        ttl_seconds=body.ttl,
        detach=True if "parent" in body.model_fields_set else None,
    )
    return ref_view(updated, ask.place)


async def delete(ask: Ask) -> Any:
    """Gone, with all that was kept of it."""
    profile = await profile_of(ask)
    await ask.result("delete_run", run_key=profile["run_key"])
    return {"id": ask.path["id"]}


async def result(ask: Ask) -> Response:
    """What an action came to, byte for byte."""
    return await results.result(ask, (await profile_of(ask))["run_key"])


async def traces(ask: Ask) -> Any:
    """What each action took and changed."""
    return await results.traces(ask, (await profile_of(ask))["run_key"])


async def clone(ask: Ask) -> Any:
    """A copy under a new key."""
    run = await ask.result("clone_run", run_key=await _key_of(ask, ask.body.source_run_id))
    ask.note_run(run["run_key"])
    account, project = ask.place
    return {"id": run["run_key"], "account": account, "project": project}


async def list_(ask: Ask) -> Any:
    """A page, newest change first."""
    return await _search(ask, await listed(ask, ask.query), ask.query.limit, ask.query.offset)


async def search(ask: Ask) -> Any:
    """A page of what matches; ``X-Total-Count`` is how many do."""
    body: bodies.SearchBody = ask.body
    sort = [one.model_dump() for one in body.sort] if body.sort else None
    return await _search(ask, await searched(ask, body.query), body.limit, body.offset, sort)


async def _search(
    ask: Ask, query: dict[str, Any], limit: int, offset: int, sort: list[dict[str, Any]] | None = None
) -> Any:
    page = await ask.result("search_runs", query=query, sort=sort, first=offset, max=limit)
    ask.headers["X-Total-Count"] = str(page["total"])
    return [ref_view(profile, ask.place) for profile in page["values"]]


async def find(ask: Ask) -> Any:
    """Runs by a document of operators; references stay ids."""
    body: bodies.FindBody = ask.body
    shown, large = selected(body.select)
    page = await ask.result(
        "find_runs", filter=worker_document(body.query), select=large, first=body.offset, max=body.limit
    )
    ask.headers["X-Total-Count"] = str(page["total"])
    return [found_view(one, ask.place, shown) for one in page["values"]]


async def facets(ask: Ask) -> Any:
    """Counts by the values of each field."""
    body: bodies.FacetsBody = ask.body
    fields = {one.name: FIELDS.get(one.field, one.field) for one in body.facets}
    asked = [{"name": one.name, "field": fields[one.name]} for one in body.facets]
    result = await ask.result("facet_runs", facets=asked, query=await searched(ask, body.query))
    _note_truncated(ask, [name for name, facet in result["facets"].items() if facet["truncated"]])
    return facets_view(result, fields)


def _note_truncated(ask: Ask, names: list[str]) -> None:
    """Names of facets that have more values than are told; names are of callers, and may not be fit for a header."""
    if names:
        ask.headers["X-Facets-Truncated"] = ",".join(quote(name, safe="") for name in names)


_OPTIONS: Final = {"tag": "tags", "modelId": "model"}
_OPTION_FIELDS: Final = frozenset(
    {"interaction", "environment", "model", "status", "tags", "finish_reason", "created_by"}
)


async def filter_options(ask: Ask) -> Any:
    """Values that a filter can have, with how many runs have them."""
    asked = ask.path["field"]
    field = _OPTIONS.get(asked, asked)
    if field not in _OPTION_FIELDS:
        known = ", ".join(sorted(_OPTION_FIELDS))
        raise Fault(404, "UNKNOWN_FIELD", f"filter-options/{asked[:100]}: there are {known}")
    result = await ask.result(
        "facet_runs", facets=[{"name": "field", "field": field}], query=await listed(ask, ask.query)
    )
    facet = result["facets"]["field"]
    _note_truncated(ask, [asked] if facet["truncated"] else [])
    return [
        {"id": bucket["_id"], "name": bucket["_id"], "count": bucket["count"]}
        for bucket in buckets_of(facet["buckets"], field)
        if bucket["_id"] is not None
    ]


_P: Final = Role.PARTICIPANT

ENDPOINTS: Final = (
    Endpoint("composableSearch", "POST", "/runs/search", _P, "Search runs", search, bodies.SearchBody, result=list[answers.RunRef]),
    Endpoint("composableFind", "POST", "/runs/find", _P, "Find runs by a document of operators", find, bodies.FindBody, result=list[answers.FoundRun]),
    Endpoint("composableFacets", "POST", "/runs/facets", _P, "Count runs by the values of fields", facets, bodies.FacetsBody, result=answers.Facets),
    Endpoint("composableClone", "POST", "/runs/clone", _P, "Copy a run", clone, bodies.CloneRunBody, result=answers.Cloned),
    Endpoint("composableFilterOptions", "GET", "/runs/filter-options/{field}", _P, "Values that a filter can have", filter_options, None, bodies.FilterQuery, list[answers.Option]),
    Endpoint("composableList", "GET", "/runs", _P, "Runs, newest change first", list_, None, bodies.ListQuery, list[answers.RunRef]),
    Endpoint("composableCreate", "POST", "/runs", _P, "Start a run, which goes on by itself", create, bodies.RunBody, result=answers.Begun | answers.Started, statuses=(200, 201)),
    Endpoint("composableGet", "GET", "/runs/{id}", _P, "A run, whole", get, None, bodies.GetQuery, answers.Run),
    Endpoint("composableUpdate", "PUT", "/runs/{id}", _P, "Change what people say of a run", update, bodies.UpdateRunBody, result=answers.RunRef),
    Endpoint("composableResult", "GET", "/runs/{id}/actions/{seq}/result", _P, "What an action came to, byte for byte; Range for a part", result, statuses=(200, 206), is_own=True),
    Endpoint("composableTraces", "GET", "/runs/{id}/traces", _P, "What each action took and changed", traces, None, bodies.TracesQuery, Traces, is_own=True),
    Endpoint("composableDelete", "DELETE", "/runs/{id}", _P, "Delete a run for good", delete, result=answers.Deleted),
)  # fmt: skip
