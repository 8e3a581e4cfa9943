"""What a model, or else the worker, allows of a replay: another outcome, and a changed model."""

from collections.abc import Mapping
from typing import Any

from protocol.errors import ErrorCode
from worker.errors import ReplayError
from worker.runs.record import RunRecord
from worker.settings import Settings
from worker.supervisor.models import ModelSource


def policy(raw: Mapping[str, Any], name: str, default: str) -> str:
    """A policy that a model may set for itself, under ``restorations`` of its context."""
    restorations = raw.get("restorations")
    own = restorations.get(name) if isinstance(restorations, Mapping) else None
    return own if own in ("fail", "warn") else default


def judge_fingerprint(
    record: RunRecord, model: ModelSource, raw: Mapping[str, Any], settings: Settings
) -> tuple[dict[str, Any], ...]:
    """Warnings of a model that was changed since a run's history began.

    Raises:
        ReplayError: REPLAY_DIVERGED, it was changed and may not.
    """
    if record.model_fingerprint == model.fingerprint:
        return ()
    finding = {"began_with": record.model_fingerprint, "now": model.fingerprint, "model_file": model.name}
    if policy(raw, "modelChanged", settings.model_changed) == "fail":
        raise ReplayError(
            ErrorCode.REPLAY_DIVERGED,
            f"{model.name} was changed since the history of run {record.run_key} began (fingerprint "
            f"{record.model_fingerprint[:12]}, now {model.fingerprint[:12]}) and model_changed is 'fail'; "
            "put the old files back, or allow it with 'warn'",
            **finding,
        )
    return ({"code": "MODEL_CHANGED", **finding},)
