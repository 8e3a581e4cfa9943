"""Endpoints that Epicenter does not have, below a name that none of its own can take: what the page is made of."""

from typing import Any, Final

from pydantic.alias_generators import to_camel

from protocol.entities import Role
from protocol.offers import Models
from worker.gateway import answers_epicenter as answers
from worker.gateway import bodies
from worker.gateway.endpoints import ADDITIONS, Ask, Endpoint
from worker.gateway.routes_runs import page_of
from worker.gateway.views import camel, run_view


async def caller(ask: Ask) -> Any:
    """Who the token says is asking; the worker is not asked."""
    actor = ask.caller.actor
    names = ("role", "user_key", "group_key", "world_key", "world_role")
    return camel({name: actor[name] for name in names if name in actor})


async def runs(ask: Ask) -> Any:
    """Runs of the project, whatever their model and scope."""
    return await page_of(ask)


async def models(ask: Ask) -> Any:
    """Model files that a run can be started from."""
    return await ask.result("list_models")


async def history(ask: Ask) -> Any:
    """Entries of a run's history, those that a rewind took back too."""
    query: bodies.HistoryQuery = ask.query
    page = await ask.result(
        "read_history", run_key=ask.path["runKey"], after_seq=query.after_seq, limit=query.limit
    )
    return {"entries": [_entry(entry) for entry in page["entries"]], "headSeq": page["head_seq"]}


async def events(ask: Ask) -> Any:
    """What the worker told of a run."""
    query: bodies.EventsQuery = ask.query
    page = await ask.result(
        "read_events", run_key=ask.path["runKey"], after_event=query.after_event, limit=query.limit
    )
    return {"events": [_event(event) for event in page["events"]], "headEvent": page["head_event"]}


async def rewind(ask: Ask) -> Any:
    """Back to an entry."""
    return run_view(await ask.result("rewind_run", run_key=ask.path["runKey"], **ask.body.fields()))


async def clone(ask: Ask) -> Any:
    """A copy of what the run was at an entry."""
    return run_view(await ask.result("clone_run", run_key=ask.path["runKey"], **ask.body.fields()))


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry; arguments, values, results and contexts keep their own spelling."""
    view = _people_in({to_camel(name): value for name, value in entry.items()})
    if "approval" in view:
        view["approval"] = _people_in(camel(view["approval"]))
    return view


def _people_in(view: dict[str, Any]) -> dict[str, Any]:
    return view | {name: camel(view[name]) for name in ("actor", "by") if name in view}


def _event(event: dict[str, Any]) -> dict[str, Any]:
    """An event; what is in it of the model keeps its own spelling, what is null is absent."""
    view = _people_in(camel(event))
    if "run" in view:
        view["run"] = run_view(view["run"])
    return view


_P, _A = Role.PARTICIPANT, Role.ANONYMOUS

ENDPOINTS: Final = (
    Endpoint("listRuns", "GET", f"{ADDITIONS}runs", _P, "Runs of the project, of all models and scopes", runs, None, bodies.RunsQuery, answers.Page),
    Endpoint("listModels", "GET", f"{ADDITIONS}models", _P, "Model files of the project, to start runs from", models, result=Models),
    Endpoint("readHistory", "GET", f"{ADDITIONS}history/{{runKey}}", _P, "What was done to a run, entry by entry", history, None, bodies.HistoryQuery, answers.History),
    Endpoint("readEvents", "GET", f"{ADDITIONS}events/{{runKey}}", _P, "What the worker told of a run, with the recorded variables that changed", events, None, bodies.EventsQuery, answers.Events),
    Endpoint("rewindTo", "POST", f"{ADDITIONS}rewind/{{runKey}}", _P, "Take a run back to an entry of its history", rewind, bodies.RewindToBody, result=answers.Run),
    Endpoint("cloneAt", "POST", f"{ADDITIONS}clone/{{runKey}}", _P, "Copy a run as it was at an entry of its history", clone, bodies.CloneAtBody, result=answers.Run),
    Endpoint("readCaller", "GET", f"{ADDITIONS}caller", _A, "Who the token says is asking", caller, result=answers.Caller),
)  # fmt: skip
