"""The API of clusters: runs that are created with a prompt, told more by messages, and tell of their status.

A cluster is a project: ``account.project``, or any name where the worker serves only its default one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.responses import Response

from protocol.entities import RUN_KEY, Role
from worker.gateway import answers_clusters as answers
from worker.gateway import clusters_bodies as bodies
from worker.gateway import results
from worker.gateway.bodies import Actionable
from worker.gateway.callers import Caller
from worker.gateway.clusters_views import (
    activity_view,
    job_view,
    listed_view,
    message_view,
    run_view,
    status_of,
    waiting_view,
)
from worker.gateway.composable import profile_of, source_of
from worker.gateway.composable_views import id_of
from worker.gateway.endpoints import NO_CONTENT, Ask, Endpoint, NoContent
from worker.gateway.faces import Face, Place
from worker.gateway.faults import Fault, answer, incomprehensible
from worker.gateway.vocabulary import statuses_of

_PAGE: Final = 1000
_ACTIONS: Final = ("execute", "set")
_AT_WORK: Final = ("pending", "running")


def place_of(path: Mapping[str, str], _headers: Mapping[str, str], _caller: Caller) -> Place:
    """The project that a cluster is."""
    account, dot, project = path["clusterId"].partition(".")
    return (account, project) if dot else (account, "default")


def render(fault: Fault) -> Response:
    """A fault as ``{error: {message, code}}``; of a request that cannot be read, ``{message, errors}``."""
    status, code, message = fault.status, fault.code, fault.message
    if fault.hides_its_run:
        status, code, message = 404, "RUN_NOT_FOUND", "no such run"
    if status == 400:
        errors = fault.information.get("errors") or [
            {"path": fault.information.get("path"), "error": message}
        ]
        return answer({"message": message, "code": code, "errors": errors}, status, fault.headers)
    return answer({"error": {"message": message, "code": code}}, status, fault.headers)


FACE: Final = Face("/clusters/{clusterId}", "Inferable", place_of, render, answers.Fault, results.HEADERS)


async def create(ask: Ask) -> Any:
    """A new run, durable when answered; it goes on by itself."""
    body: bodies.ClusterRunBody = ask.body
    prompt = body.initial_prompt
    started = await ask.result(
        "start_run",
        model_file=body.model_file,
        run_id=body.id or body.run_id,
        name=body.name,
        prompt=prompt if isinstance(prompt, str) else None,
        actions=None if prompt is None or isinstance(prompt, str) else [one.action() for one in prompt],
        config=None if body.config is None else body.config.model_dump(exclude_none=True),
        result_schema=body.result_schema,
        attached_functions=_attached(body.attached_functions),
        on_status_change=_target(body.on_status_change),
        metadata=body.metadata or None,
        test=None if body.test is None else body.test.enabled,
        mocks=_mocks(body.test),
        context=body.context,
        reasoning_traces=body.reasoning_traces,
        call_summarization=body.call_summarization,
        interactive=body.interactive,
        source=source_of(ask),
        wait_seconds=body.wait_time,
    )
    profile = started["run"]
    ask.note_run(profile["run_key"])
    ask.status = 201
    return {
        "id": id_of(profile),
        "status": status_of(profile),
        "result": profile.get("result"),
        "created": started["created"],
    }


def _mocks(test: bodies.TestBody | None) -> dict[str, Any] | None:
    mocks = {} if test is None else test.mocks or {}
    return {name: mock.model_dump() for name, mock in mocks.items()} or None


def _attached(functions: list[bodies.FunctionBody] | None) -> list[dict[str, Any]] | None:
    return None if functions is None else [one.model_dump(exclude_none=True) for one in functions]


def _target(target: bodies.StatusTargetBody | None) -> dict[str, Any] | None:
    if target is None:
        return None
    given = target.model_dump(exclude_none=True)
    if target.statuses is not None:
        given["statuses"] = statuses_of("inferable", target.statuses, "onStatusChange.statuses")
    return {**given, "words": "inferable"}


async def list_(ask: Ask) -> Any:
    """Runs, newest first; those that are tests where asked for."""
    query: bodies.ClusterListQuery = ask.query
    asked: dict[str, Any] = {"test": query.test == "true"}
    if query.user_id is not None:
        asked["created_by"] = [query.user_id]
    if query.config_id is not None:
        asked["config"] = [query.config_id]
    if query.status is not None:
        asked["status"] = statuses_of("inferable", query.status.split(","), "status")
    if query.metadata:
        asked["metadata"] = _pairs(query.metadata)
    newest = [{"field": "created_at", "order": "desc"}]
    page = await ask.result("search_runs", query=asked, sort=newest, max=query.limit)
    ask.headers["X-Total-Count"] = str(page["total"])
    return [listed_view(profile) for profile in page["values"]]


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    """Names and values; the first colon parts them."""
    found: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name:
            raise incomprehensible(f"metadata: {text!r} is not key:value", path="metadata")
        if found.setdefault(name, value) != value:
            raise incomprehensible(f"metadata: {name} cannot have two values", path="metadata")
    return found


async def get(ask: Ask) -> Any:
    """A run, whole."""
    profile = await profile_of(ask, wait_seconds=ask.query.wait_time)
    return _shown(profile)


def _shown(profile: Mapping[str, Any]) -> dict[str, Any]:
    pending = profile.get("pending")
    return run_view(profile, [] if pending is None else [waiting_view(pending, profile["run_key"])])


async def delete(ask: Ask) -> NoContent:
    """Gone, with all that was kept of it."""
    profile = await profile_of(ask)
    await ask.result("delete_run", run_key=profile["run_key"])
    return NO_CONTENT


async def feedback(ask: Ask) -> NoContent:
    """What people think of the run."""
    body: bodies.FeedbackBody = ask.body
    profile = await profile_of(ask)
    given = body.model_dump(exclude_none=True)
    if given:
        evaluation = {**(profile.get("evaluation") or {}), **given}
        await ask.result("update_profile", run_key=profile["run_key"], evaluation=evaluation)
    return NO_CONTENT


async def _entries(ask: Ask, run_key: str, after_seq: int, limit: int = _PAGE) -> list[dict[str, Any]]:
    """Actions of the history behind an entry that nothing took back."""
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        page = await ask.result("read_history", run_key=run_key, after_seq=after_seq, limit=_PAGE)
        for entry in page["entries"]:
            after_seq = entry["seq"]
            if entry["kind"] in _ACTIONS and "rewound_by" not in entry:
                found.append(entry)
        if after_seq >= page["head_seq"] or not page["entries"]:
            break
    return found[:limit]


async def messages(ask: Ask) -> Any:
    """What was asked of the run and what came of it, in order."""
    query: bodies.MessagesQuery = ask.query
    profile = await profile_of(ask, wait_seconds=query.wait_time)
    entries = await _entries(ask, profile["run_key"], query.after, query.limit)
    return [message_view(entry) for entry in entries]


async def add_message(ask: Ask) -> Any:
    """A follow-up, performed; the same ``id`` is performed once."""
    body: bodies.MessageBody = ask.body
    profile = await profile_of(ask)
    run_key = profile["run_key"]
    if body.busy == "reject" and status_of(profile) in _AT_WORK:
        raise Fault(
            409,
            "RUN_BUSY",
            f"run {id_of(profile)} is {status_of(profile)}; ask again, or let the message wait",
        )
    request_id = None if body.id is None else f"{run_key}:{body.id}"
    ask.status = 201
    try:
        result = await _perform(ask, profile, body.message, request_id, body.reasoning)
    except Fault as fault:
        if fault.code != "PENDING_APPROVAL":
            raise
        # It is kept, and performed once that is decided.
        return {"id": body.id, "result": None, "status": "paused", "waiting": [call_id(fault, run_key)]}
    return {"id": body.id, "result": result}


def call_id(fault: Fault, run_key: str) -> str:
    """The call that waits for approval."""
    return f"{run_key}:{fault.information['actionId']}"


async def _perform(
    ask: Ask,
    profile: Mapping[str, Any],
    message: str | list[Actionable],
    request_id: str | None = None,
    reasoning: str | None = None,
) -> Any:
    run_key = profile["run_key"]
    if isinstance(message, str):
        operation = (profile.get("entry_points") or {}).get("prompt")
        if operation is None:
            raise incomprehensible(
                "message: the model names no operation that takes a text (`run.prompt` of its context); "
                "send a list of actions",
                path="message",
            )
        actions = [{"kind": "execute", "name": operation, "arguments": [message]}]
    else:
        actions = [one.action() for one in message]
    if request_id is not None:
        ask.request_id, ask.asked = request_id, 0
    return await ask.result("perform_actions", run_key=run_key, actions=actions, reasoning=reasoning)


async def edit_message(ask: Ask) -> Any:
    """Another message in the place of one: all that came after it is taken back."""
    body: bodies.EditBody = ask.body
    profile = await profile_of(ask)
    await _back_to(ask, profile["run_key"], ask.path["messageId"])
    return {"id": ask.path["messageId"], "result": await _perform(ask, profile, body.message)}


async def retry(ask: Ask) -> NoContent:
    """A message once more: all from it on is taken back, and it is performed anew."""
    body: bodies.RetryBody = ask.body
    profile = await profile_of(ask)
    entry = await _back_to(ask, profile["run_key"], body.message_id)
    action = {name: entry[name] for name in ("kind", "name", "arguments", "value") if name in entry}
    await ask.result("perform_actions", run_key=profile["run_key"], actions=[action])
    return NO_CONTENT


async def _back_to(ask: Ask, run_key: str, message_id: str) -> dict[str, Any]:
    """Take a run back to before a message, which it gives."""
    seq = int(message_id) if message_id.isdecimal() and len(message_id) < 18 else 0
    found = await _entries(ask, run_key, seq - 1, 1) if seq > 1 else []
    if not found or found[0]["seq"] != seq:
        raise Fault(404, "MESSAGE_NOT_FOUND", f"message {message_id}: the run has no such message")
    await ask.result("rewind_run", run_key=run_key, to_seq=seq - 1)
    return found[0]


async def result(ask: Ask) -> Response:
    """What an action came to, byte for byte."""
    return await results.result(ask, (await profile_of(ask))["run_key"])


async def traces(ask: Ask) -> Any:
    """What each action took and changed."""
    return results.camel_traces(await results.traces(ask, (await profile_of(ask))["run_key"]))


async def timeline(ask: Ask) -> Any:
    """What is new of a run behind three positions."""
    query: bodies.TimelineQuery = ask.query
    profile = await profile_of(ask)
    run_key = profile["run_key"]
    first = min(query.messages_after, query.jobs_after)
    entries = await _entries(ask, run_key, first, 200)
    events = await ask.result("read_events", run_key=run_key, after_event=query.activity_after, limit=200)
    return {
        "messages": [message_view(entry) for entry in entries if entry["seq"] > query.messages_after],
        "jobs": [job_view(entry, run_key) for entry in entries if entry["seq"] > query.jobs_after],
        "activity": [activity_view(event) for event in events["events"]],
        "run": _shown(profile),
        "blobs": [],
    }


async def approval(ask: Ask) -> NoContent:
    """Let a call that waits be performed, or not. Its id begins with the key of its run."""
    run_key, colon, action_id = ask.path["callId"].partition(":")
    if not colon or RUN_KEY.fullmatch(run_key) is None or not action_id:
        raise Fault(404, "CALL_NOT_FOUND", f"call {ask.path['callId'][:100]}: no such call")
    ask.note_run(run_key)
    await ask.result("get_profile", run_key=run_key)  # who may not see the run learns nothing of its calls
    await ask.result("decide_action", run_key=run_key, action_id=action_id[:128], approved=ask.body.approved)
    return NO_CONTENT


_P: Final = Role.PARTICIPANT

ENDPOINTS: Final = (
    Endpoint("clusterCreate", "POST", "/runs", _P, "Start a run, which goes on by itself", create, bodies.ClusterRunBody, result=answers.Started, statuses=(201,)),
    Endpoint("clusterList", "GET", "/runs", _P, "Runs, newest first", list_, None, bodies.ClusterListQuery, list[answers.ListedRun]),
    Endpoint("clusterGet", "GET", "/runs/{id}", _P, "A run, whole", get, None, bodies.WaitQuery, answers.Run),
    Endpoint("clusterDelete", "DELETE", "/runs/{id}", _P, "Delete a run for good", delete, result=NoContent),
    Endpoint("clusterFeedback", "POST", "/runs/{id}/feedback", _P, "What people think of a run", feedback, bodies.FeedbackBody, result=NoContent),
    Endpoint("clusterMessages", "GET", "/runs/{id}/messages", _P, "What was asked and what came of it", messages, None, bodies.MessagesQuery, list[answers.Message]),
    Endpoint("clusterAddMessage", "POST", "/runs/{id}/messages", _P, "Ask more of a run", add_message, bodies.MessageBody, result=answers.Said | answers.Kept, statuses=(201,)),
    Endpoint("clusterEditMessage", "PUT", "/runs/{id}/messages/{messageId}", _P, "Put another message in the place of one; what came after is taken back", edit_message, bodies.EditBody, result=answers.Said),
    Endpoint("clusterRetry", "POST", "/runs/{id}/retry", _P, "Do it again from a message on", retry, bodies.RetryBody, result=NoContent),
    Endpoint("clusterTimeline", "GET", "/runs/{id}/timeline", _P, "What is new of a run", timeline, None, bodies.TimelineQuery, answers.Timeline),
    Endpoint("clusterResult", "GET", "/runs/{id}/actions/{seq}/result", _P, "What an action came to, byte for byte; Range for a part", result, statuses=(200, 206), is_own=True),
    Endpoint("clusterTraces", "GET", "/runs/{id}/traces", _P, "What each action took and changed", traces, None, bodies.ClusterTracesQuery, answers.Traces, is_own=True),
    Endpoint("clusterApproval", "POST", "/calls/{callId}/approval", _P, "Let a call that waits be performed, or not", approval, bodies.ApprovalBody, result=NoContent),
)  # fmt: skip
