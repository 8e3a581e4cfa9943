"""The profile of a run: what makes it findable, what it was asked to do by itself, and how far that has come.

``RunRecord`` is the row that every append moves; the profile is written only where something of it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from protocol.entities import RunStatus
from worker.runs.record import RunRecord
from worker.runs.status import check_change

DEFAULT_ENVIRONMENT: Final = "default"
"""The worker's own packages."""
NAME_WORDS: Final = 10
NAME_CHARACTERS: Final = 256


class FinishReason(StrEnum):
    """Why nothing more comes of a run by itself; none while something may."""

    COMPLETED = "completed"
    """It did what it was started for, and takes no requests."""
    FAILED_INIT = "failed_init"
    """Its model could not be loaded, or one of its initial actions failed."""
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    """Its process ended while something was asked of it."""
    REPLAY_DIVERGED = "replay_diverged"
    VALIDATION_ERROR = "validation_error"
    CLOSED = "closed"


class _Kept(StrEnum):
    KEPT = "kept"


KEPT: Final = _Kept.KEPT
"""In the place of a value: what there is stays."""


@dataclass(frozen=True, slots=True)
class RunProfile:
    """One profile; fields are named as the columns of the table ``profile``.

    Times are microseconds since 1970. ``status_seq`` counts the changes of ``status``, from 0. ``error``:
    ``{code, message, data?}``. ``parent``: the key of a run, which may be gone. ``request_digest``: what tells
    whether a repeated ``run_id`` means the same. ``expires_us``: when the run may be deleted, never while it is in
    memory. ``course``: what a started run does by itself; None for a run that was not started.
    ``attached_functions``: ``[{service?, function}]``, None for all that are not private. ``pending``: the request that
    waits for approval, as ``Pending`` keeps it. JSON values otherwise.
    """

    run_key: str
    project: str
    name: str
    status: RunStatus = RunStatus.READY
    environment: str = DEFAULT_ENVIRONMENT
    run_id: str | None = None
    request_digest: bytes | None = None
    status_seq: int = 0
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    parent: str | None = None
    created_by: str | None = None
    updated_by: str | None = None
    config_id: str | None = None
    config_version: int | None = None
    source_type: str | None = None
    source: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()
    evaluation: dict[str, Any] | None = None
    ttl_seconds: int | None = None
    expires_us: int | None = None
    test: bool = False
    interactive: bool = True
    reasoning_traces: bool = True
    call_summarization: bool = True
    attached_functions: list[dict[str, Any]] | None = None
    on_status_change: dict[str, Any] | None = None
    result_mode: str | None = None
    parameters: Any = None
    result: Any = None
    result_errors: Any = None
    result_schema: Any = None
    context: dict[str, Any] | None = None
    course: dict[str, Any] | None = None
    pending: dict[str, Any] | None = None

    @property
    def mocks(self) -> dict[str, Any]:
        """What external functions answer instead of their providers, by their names in the model's context."""
        found: dict[str, Any] = (self.course or {}).get("mocks", {})
        return found

    @property
    def tells_status(self) -> bool:
        """Whether every change of the status is told, whatever the settings say."""
        return self.course is not None or self.on_status_change is not None


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A run's status becomes ``to``, together with whatever else the same write makes durable.

    ``reason`` (a ``FinishReason``) and ``error`` replace those of the profile, which None clears; ``result``,
    ``result_errors`` and ``pending`` stay unless given. ``tell``: an event of it, also where the profile does not ask for one.
    """

    to: RunStatus
    at_us: int
    reason: str | None = None
    error: dict[str, Any] | None = None
    result: Any = KEPT
    result_errors: Any = KEPT
    pending: Any = KEPT
    tell: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What actions took: time and processor time in microseconds, most memory in bytes, how many they were."""

    wall_us: int = 0
    cpu_us: int = 0
    peak_rss_bytes: int = 0
    actions: int = 0

    def with_(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            self.wall_us + other.wall_us,
            self.cpu_us + other.cpu_us,
            max(self.peak_rss_bytes, other.peak_rss_bytes),
            self.actions + other.actions,
        )


def used(run: RunRecord, usage: Usage) -> RunRecord:
    """A run's row with what further actions took."""
    total = Usage(run.wall_us, run.cpu_us, run.peak_rss_bytes, run.actions).with_(usage)
    return replace(
        run,
        wall_us=total.wall_us,
        cpu_us=total.cpu_us,
        peak_rss_bytes=total.peak_rss_bytes,
        actions=total.actions,
    )


def changed(profile: RunProfile, change: StatusChange) -> RunProfile:
    """The profile with a change of its status.

    Raises:
        IllegalStatusError: the change may not follow.
    """
    check_change(profile.run_key, profile.status, change.to)
    return replace(
        profile,
        status=change.to,
        status_seq=profile.status_seq + 1,
        finish_reason=change.reason,
        error=change.error,
        result=profile.result if change.result is KEPT else change.result,
        result_errors=profile.result_errors if change.result_errors is KEPT else change.result_errors,
        pending=profile.pending if change.pending is KEPT else change.pending,
    )


def default_name(model_file: str, created_us: int, first_action: str | None = None) -> str:
    """``<model>: <first action> <UTC time>``, in at most ``NAME_WORDS`` words; the time is always whole."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=created_us)
    time = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    words = f"{model_file}: {first_action or ''}".split()[: NAME_WORDS - 1]
    return f"{' '.join(words)[: NAME_CHARACTERS - len(time) - 1]} {time}"


def default_profile(run: RunRecord, **given: Any) -> RunProfile:
    """The profile of a run that says nothing of it: ready, named by its model and time, and neither traced nor digested."""
    fields: Mapping[str, Any] = {
        "name": default_name(run.model_file, run.created_us),
        "parent": run.cloned_from,
        "reasoning_traces": False,
        "call_summarization": False,
        "created_by": None if run.user is None else run.user.get("user_key"),
    }
    return RunProfile(run_key=run.run_key, project=run.project, **{**fields, **given})
