"""Profiles of runs as the Composable runs API has them."""

from collections.abc import Mapping
from typing import Any, Final

from worker.gateway.faces import Place
from worker.gateway.vocabulary import word_of


def id_of(profile: Mapping[str, Any]) -> str:
    """What the run is called by: the id that its caller chose, or else its key."""
    return str(profile.get("run_id") or profile["run_key"])


def status_of(profile: Mapping[str, Any]) -> str:
    """Its status in the words of this API."""
    return word_of(profile["status"], "composable")


def _reference(id_: str | None) -> dict[str, str] | None:
    return None if id_ is None else {"id": id_, "name": id_}


def ref_view(profile: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """A run in a list: everything but parameters, result, their schema and the prompt."""
    account, project = place
    view: dict[str, Any] = {
        "id": id_of(profile),
        "run_key": profile["run_key"],
        "name": profile["name"],
        "interaction": _reference(profile["interaction"]),
        "environment": _reference(profile.get("environment")),
        "modelId": profile["model"],
        "status": status_of(profile),
        "finish_reason": profile.get("finish_reason"),
        "error": profile.get("error"),
        "tags": profile.get("tags", []),
        "parent": profile.get("parent"),
        "evaluation": profile.get("evaluation"),
        "ttl": profile.get("ttl_seconds"),
        "config": {"environment": profile.get("environment"), "model": profile["model"]},
        "source": profile.get("source"),
        "token_use": None,
        "resource_use": profile.get("resource_use"),
        "chunks": (profile.get("resource_use") or {}).get("actions", 0),
        "execution_time": profile.get("execution_seconds"),
        "execution_time_ms": _milliseconds(profile.get("execution_seconds")),
        "created_at": profile["created_at"],
        "updated_at": profile["updated_at"],
        "created_by": _user(profile.get("created_by")),
        "updated_by": _user(profile.get("updated_by")),
        "account": _reference(account),
        "project": _reference(project),
    }
    return view


def run_view(profile: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """A run, whole."""
    return {
        **ref_view(profile, place),
        "parameters": profile.get("parameters"),
        "result": profile.get("result"),
        "result_errors": profile.get("result_errors"),
        "result_schema": profile.get("result_schema"),
        "prompt": None,
    }


def _user(key: str | None) -> str | None:
    return None if key is None else f"user:{key}"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


FIELDS: Final[Mapping[str, str]] = {
    "id": "run_id",
    "_id": "run_id",
    "modelId": "model",
    "model": "model",
    "execution_time": "execution_seconds",
    "ttl": "ttl_seconds",
}
"""Names of this API that are others in the worker; all the rest are the same."""

_SHOWN: Final = {"model": "modelId", "execution_seconds": "execution_time", "ttl_seconds": "ttl"}


def found_view(found: Mapping[str, Any]) -> dict[str, Any]:
    """What ``find`` gives of one run: the fields that were selected, references as ids."""
    view: dict[str, Any] = {}
    for name, value in found.items():
        if name in ("run_key", "run_id"):
            continue
        view[_SHOWN.get(name, name)] = word_of(value, "composable") if name == "status" else value
    return {"id": id_of(found), **view}


def facets_view(result: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Buckets by the caller's names; ``fields``: the worker's field of each. Statuses count under this API's words."""
    view: dict[str, Any] = {
        name: buckets_of(facet["buckets"], fields[name]) for name, facet in result["facets"].items()
    }
    return {**view, "total": result["total"]}


def buckets_of(buckets: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Values with their counts, most frequent first."""
    counts: dict[Any, int] = {}
    for bucket in buckets:
        value = bucket["value"]
        if field == "status" and value is not None:
            value = word_of(value, "composable")
        counts[value] = counts.get(value, 0) + bucket["count"]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] is not None, str(item[0])))
    return [{"_id": value, "count": count, **_named(value, field)} for value, count in ordered]


def _named(value: Any, field: str) -> dict[str, Any]:
    return {"name": value} if value is not None and field in ("interaction", "environment") else {}
