"""How a request's context lies over that of the model's file."""

from collections.abc import Mapping
from typing import Any


def overlay(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """``override`` laid over ``base``: maps are merged key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        merged[key] = (
            overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def override_context(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """``overlay``, but guards of ``override`` come on top of those of ``base``: no request takes guards away."""
    merged = overlay(base, override)
    kept, given = _guard_parts(base), _guard_parts(override)
    if kept and isinstance(given, list):
        merged["protections"] = {**merged["protections"], "guards": [*kept, *given]}
    return merged


def _guard_parts(raw: Mapping[str, Any]) -> Any:
    protections = raw.get("protections")
    return protections.get("guards") if isinstance(protections, Mapping) else None
