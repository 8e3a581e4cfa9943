"""What is another one than when a history began: the model's files, the packages they import."""

from collections.abc import Mapping
from typing import Any, Final

import msgpack

from protocol.errors import ErrorCode
from worker.errors import ReplayError
from worker.process.environment import Environment
from worker.runs.history import LogEntry
from worker.runs.record import RunRecord
from worker.settings import Settings
from worker.supervisor.models import ModelSource

MODEL_CHANGED: Final = "MODEL_CHANGED"
ENVIRONMENT_CHANGED: Final = "ENVIRONMENT_CHANGED"
TOLD_PACKAGES: Final = 20
Finding = dict[str, Any]


def policy(raw: Mapping[str, Any], name: str, default: str) -> str:
    """A policy that a model may set for itself, under ``restorations`` of its context."""
    restorations = raw.get("restorations")
    own = restorations.get(name) if isinstance(restorations, Mapping) else None
    return own if own in ("fail", "warn") else default


def judge_changes(
    record: RunRecord,
    boot: LogEntry,
    model: ModelSource,
    environment: Environment,
    raw: Mapping[str, Any],
    *,
    settings: Settings,
) -> tuple[Finding, ...]:
    """Warnings for what changed since the history of a run began with ``boot``.

    Raises:
        ReplayError: something did, and model_changed says that it may not.
    """
    strict = policy(raw, "modelChanged", settings.model_changed) == "fail"
    findings: list[Finding] = []
    if record.model_fingerprint != model.fingerprint:
        began, now = record.model_fingerprint, model.fingerprint
        finding: Finding = {"began_with": began, "now": now, "model_file": model.name}
        if strict:
            what = f"{model.name} was changed (fingerprint {began[:12]}, now {now[:12]})"
            raise _refused(record, what, "put the old files back", finding)
        findings.append({"code": MODEL_CHANGED, **finding})
    changed = _changed_packages(boot, environment)
    if changed:
        finding = {"packages": changed, "model_file": model.name}
        if strict:
            listed = ", ".join(f"{name} {old}, now {new}" for name, (old, new) in changed.items())
            raise _refused(
                record, f"packages were changed ({listed})", "have the old versions installed", finding
            )
        findings.append({"code": ENVIRONMENT_CHANGED, **finding})
    return tuple(findings)


def _refused(record: RunRecord, what: str, remedy: str, finding: Finding) -> ReplayError:
    return ReplayError(
        ErrorCode.REPLAY_DIVERGED,
        f"{what} since the history of run {record.run_key} began, and model_changed is 'fail'; {remedy}, or allow it "
        "with 'warn'",
        **finding,
    )


def _changed_packages(boot: LogEntry, environment: Environment) -> dict[str, list[str | None]]:
    """Packages with the version that the history began with and that of now; None where there is none."""
    began = msgpack.unpackb(boot.action, raw=False).get("packages")
    if began is None:
        return {}
    names = sorted(began.keys() | environment.packages.keys())
    pairs = {name: [began.get(name), environment.packages.get(name)] for name in names}
    changed = [(name, pair) for name, pair in pairs.items() if pair[0] != pair[1]]
    return dict(changed[:TOLD_PACKAGES])
