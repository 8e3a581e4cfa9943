"""The result of a run: what its latest value comes to under a schema, and what that does to the run's status."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from protocol.entities import RunStatus
from worker.channel import pack
from worker.runs.profile import FinishReason, StatusChange
from worker.runs.status import way

DATA_BYTES: Final = 64 * 1024
"""Of a value that does not fit, as it is kept beside the error; a larger one is in the history only."""
VALIDATION_ERROR: Final = "validation_error"
JSON_ERROR: Final = "json_error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``value``: the result, None where there is none. ``errors``: why not, as ``[{path, error}]``.

    ``failure``: what the run fails by, ``{code, message, data?}``; None where it does not.
    """

    value: Any
    errors: list[dict[str, str]] | None = None
    failure: dict[str, Any] | None = None


def verdict_of(value: Any, errors: list[dict[str, str]], code: str, *, is_strict: bool) -> Verdict:
    """What a value comes to that has these ``errors``, of kind ``code``. Nothing is made to fit."""
    if not errors:
        return Verdict(value)
    if not is_strict:
        return Verdict(None, errors)
    where = "; ".join(": ".join(part for part in (one["path"], one["error"]) if part) for one in errors)
    failure = {"code": code, "message": f"the result does not fit the run's schema: {where}"}
    if len(pack(value)) <= DATA_BYTES:
        failure["data"] = value
    return Verdict(None, errors, failure)


def turned(
    status: RunStatus, wanted: Sequence[StatusChange], verdict: Verdict, at_us: int
) -> tuple[StatusChange, ...]:
    """The changes of status that carry a verdict: those ``wanted`` anyway, else the way to ready."""
    *before, last = wanted or [StatusChange(one, at_us) for one in way(status, RunStatus.READY)]
    if verdict.failure is None:
        return (*before, replace(last, result=verdict.value, result_errors=verdict.errors))
    failed = StatusChange(
        RunStatus.FAILED,
        at_us,
        reason=FinishReason.VALIDATION_ERROR,
        error=verdict.failure,
        result=None,
        result_errors=verdict.errors,
        tell=last.tell,
    )
    return (*before, failed)
