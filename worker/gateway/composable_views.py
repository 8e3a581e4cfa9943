"""Profiles of runs as the Composable runs API has them."""

from collections import Counter
from collections.abc import Collection, Mapping
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
        "metadata": profile.get("metadata") or {},
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
    "modelId": "model",
    "execution_time": "execution_seconds",
    "ttl": "ttl_seconds",
    "chunks": "resource_use.actions",
    "config.environment": "environment",
    "config.model": "model",
}
"""Names of this API that are others in the worker; all the rest are the same."""

LARGE: Final = ("parameters", "result", "result_schema", "prompt")
"""What a list leaves out, and ``find`` unless it is selected."""
DEFAULT_FOUND: Final = (
    *("id", "run_key", "name", "interaction", "environment", "modelId", "status", "finish_reason", "error"),
    *("tags", "parent", "evaluation", "ttl", "config", "source", "token_use", "resource_use", "chunks"),
    *("execution_time", "execution_time_ms", "created_at", "updated_at", "created_by", "updated_by"),
    *("account", "project", "metadata", "result_errors"),
)
"""What ``find`` gives of a run."""
_REFERENCES: Final = ("interaction", "environment", "account", "project")


def found_view(profile: Mapping[str, Any], place: Place, shown: Collection[str]) -> dict[str, Any]:
    """What ``find`` gives of one run: the fields that are shown, references as ids."""
    view = run_view(profile, place)
    for name in _REFERENCES:
        view[name] = None if view[name] is None else view[name]["id"]
    return {name: value for name, value in view.items() if name in shown}


def facets_view(result: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Buckets by the caller's names; ``fields``: the worker's field of each. Statuses count under this API's words."""
    view: dict[str, Any] = {
        name: buckets_of(facet["buckets"], fields[name]) for name, facet in result["facets"].items()
    }
    return {**view, "total": result["total"]}


def buckets_of(buckets: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Values with their counts, most frequent first; several of the worker's statuses are one of this API."""
    if field == "status":
        counts: Counter[str] = Counter()
        for bucket in buckets:
            counts[word_of(bucket["value"], "composable")] += bucket["count"]
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [{"_id": word, "count": count} for word, count in ordered]
    return [_bucket(one["value"], one["count"], field) for one in buckets]


def _bucket(value: Any, count: int, field: str) -> dict[str, Any]:
    if field == "created_by":
        value = _user(value)
    is_reference = value is not None and field in ("interaction", "environment")
    return {"_id": value, "count": count, **({"name": value} if is_reference else {})}
