"""A request's model context laid over that of the file: in part, for one incarnation, and never to widen access."""

from collections.abc import Iterable, Mapping
from typing import Any

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.runs.contexts import part_kind


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
    """``overlay``, but guards of ``override`` come on top of those of ``base``: no request takes guards away.

    Raises:
        RequestError: INVALID_CONTEXT for a guard that would let more through than those of ``base`` alone.
    """
    merged = overlay(base, override)
    is_open, opens = (_protections(raw).get("presets") == "open" for raw in (base, override))
    if opens and not is_open:
        raise _refused("protections.presets", "only the model's own file opens the presets of new runs")
    kept, given = _guard_parts(base), _guard_parts(override)
    if kept and isinstance(given, list):
        _refuse_alternatives(kept, given)
        merged["protections"] = {**merged["protections"], "guards": [*kept, *given]}
    return merged


def _protections(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    protections = raw.get("protections")
    return protections if isinstance(protections, Mapping) else {}


def _guard_parts(raw: Mapping[str, Any]) -> Any:
    return _protections(raw).get("guards")


def _refused(path: str, reason: str) -> RequestError:
    message = f"model_context: {path}: {reason}"
    return RequestError(ErrorCode.INVALID_CONTEXT, message, source="model_context", path=path)


def _refuse_alternatives(kept: Any, given: Iterable[Any]) -> None:
    """Role guards that allow are alternatives, so one more of them would be one more role that may."""
    held = {_allowing(part) for part in kept} - {None}
    for index, part in enumerate(given):
        if _allowing(part) in held:
            path = f"protections.guards[{index}]"
            reason = "the model has role guards that allow; one more would let a further role through"
            message = (
                f"model_context: {path}: {reason}; use a privilege guard, or a role guard that disallows"
            )
            raise RequestError(ErrorCode.INVALID_CONTEXT, message, source="model_context", path=path)


def _allowing(part: Any) -> str | None:
    """What a role guard that allows is about, writes or calls; None for anything else."""
    kind, options = part_kind(part) if isinstance(part, Mapping) else ("", {})
    words = [str(options.get(name)).casefold() for name in ("grant", "domain")]
    if kind != "role" or words[0] != "allow":
        return None
    return "write" if words[1] == "variable" else "execute"
