"""How the worker's answers look in Epicenter's spelling."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel


def names_of(include: str) -> list[str]:
    """The names in a list joined by ``;``, as often and in the order as they stand there."""
    return [name for name in include.split(";") if name]


def in_order(names: Sequence[str], values: Mapping[str, Any]) -> list[Any]:
    """Values by position, null for what is absent: how Epicenter's client expects them."""
    return [values.get(name) for name in names]


def run_view(run: Mapping[str, Any]) -> dict[str, Any]:
    """A Run. The values of contexts, variables and metadata keep their own spelling."""
    view = {to_camel(name): value for name, value in run.items()}
    for part in ("scope", "permit", "address", "user"):
        if part in view:
            view[part] = camel(view[part])
    return view


def camel(entity: Mapping[str, Any]) -> dict[str, Any]:
    """An entity without free keys, in Epicenter's spelling; what is null is absent."""
    return {to_camel(name): value for name, value in entity.items() if value is not None}


def page_view(page: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A page of runs, their variables by position."""
    return {
        "firstResult": page["first_result"],
        "maxResults": page["max_results"],
        "totalResults": page["total_results"],
        "values": [_listed(run, names) for run in page["values"]],
    }


def _listed(run: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    view = run_view(run)
    if names:
        view["variables"] = in_order(names, run.get("variables") or {})
    return view


def step_view(step: Mapping[str, Any]) -> dict[str, Any]:
    """What one action gave."""
    return {"objectType": step["kind"], **{name: value for name, value in step.items() if name != "kind"}}
