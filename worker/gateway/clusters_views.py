"""Profiles and histories of runs as the API of clusters has them."""

from collections.abc import Mapping
from typing import Any

from protocol.entities import RunStatus
from worker.gateway.composable_views import id_of
from worker.gateway.vocabulary import word_of


def status_of(profile: Mapping[str, Any]) -> str:
    """Its status in the words of this API."""
    return word_of(profile["status"], "inferable")


def listed_view(profile: Mapping[str, Any]) -> dict[str, Any]:
    """A run in a list."""
    config = profile.get("config") or {}
    return {
        "id": id_of(profile),
        "name": profile["name"],
        "userId": profile.get("created_by"),
        "createdAt": profile["created_at"],
        "status": status_of(profile),
        "test": bool(profile.get("test")),
        "configId": config.get("id"),
        "configVersion": config.get("version"),
        "feedbackScore": (profile.get("evaluation") or {}).get("score"),
    }


def run_view(profile: Mapping[str, Any], waiting: list[dict[str, Any]]) -> dict[str, Any]:
    """A run, whole; ``waiting``: what waits for approval."""
    evaluation = profile.get("evaluation") or {}
    return {
        **listed_view(profile),
        "runKey": profile["run_key"],
        "failureReason": _failure(profile),
        "feedbackComment": evaluation.get("comment"),
        "result": profile.get("result"),
        "resultErrors": profile.get("result_errors"),
        "metadata": profile.get("metadata") or {},
        "attachedFunctions": attached_view(profile),
        "context": profile.get("context"),
        "interactive": profile.get("interactive"),
        "reasoningTraces": profile.get("reasoning_traces"),
        "callSummarization": profile.get("call_summarization"),
        "waiting": waiting,
    }


def waiting_view(pending: Mapping[str, Any], run_key: str) -> dict[str, Any]:
    """A call that waits for approval; its id is the one that is decided on."""
    return {
        "id": f"{run_key}:{pending['action_id']}",
        "status": "pending",
        "targetFn": pending["name"],
        "arguments": pending["arguments"],
        "approvalRequested": True,
        "reason": pending.get("reason"),
        "roles": pending["roles"],
    }


def attached_view(profile: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The operations that the run may be asked for; None: all that are public."""
    attached = profile.get("attached_functions")
    if attached is None:
        return None
    return [
        {"service": one.get("service") or profile["interaction"], "function": one["function"]}
        for one in attached
    ]


def _failure(profile: Mapping[str, Any]) -> str | None:
    if profile["status"] != RunStatus.FAILED:
        return None
    error = profile.get("error") or {}
    return str(error.get("message") or profile.get("finish_reason") or "failed")


def message_view(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An action of the history as a message: what was asked and what came of it. Its id is the entry's number."""
    outcome = entry["outcome"]
    is_error = outcome["status"] == "error"
    asked = {"arguments": entry["arguments"]} if "arguments" in entry else {"value": entry.get("value")}
    return {
        "id": str(entry["seq"]),
        "type": "invocation-result",
        "createdAt": entry["at"],
        "data": {
            "id": str(entry["seq"]),
            "toolName": entry["name"],
            "input": asked,
            "resultType": "rejection" if is_error else "resolution",
            "result": outcome.get("error") if is_error else outcome.get("result"),
        },
    }


def job_view(entry: Mapping[str, Any], run_key: str) -> dict[str, Any]:
    """An action of the history as a job that was done."""
    return {
        "id": f"{run_key}:{entry['seq']}",
        "status": "success",
        "targetFn": entry["name"],
        "resultType": "rejection" if entry["outcome"]["status"] == "error" else "resolution",
        "createdAt": entry["at"],
        "approved": (entry.get("approval") or {}).get("approved"),
    }


def activity_view(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event of the run: that it happened, not all that it tells."""
    view = {"id": event["event"], "type": event["kind"], "createdAt": event["at"]}
    if event["kind"] == "status":
        view["status"] = word_of(event["to"], "inferable")
    return view
