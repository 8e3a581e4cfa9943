"""How profiles look in replies."""

from typing import Any, Final

from worker.clock import iso
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.supervisor.holding import pending_of_profile

LARGE: Final = ("parameters", "result", "result_schema", "context")
"""What a ref leaves out."""


def profile_view(profile: RunProfile, record: RunRecord, *, live: bool) -> dict[str, Any]:
    """The profile of the wire contract; what is not there is null."""
    view = profile_ref(profile, record, live=live)
    pending = pending_of_profile(profile)
    waiting = {"pending": None if pending is None else pending.view()}
    return {**view, **waiting, **{name: getattr(profile, name) for name in LARGE}}


def profile_ref(profile: RunProfile, record: RunRecord, *, live: bool) -> dict[str, Any]:
    """A profile without what may be large, as lists show it."""
    config = {"id": profile.config_id, "version": profile.config_version}
    return {
        "run_key": profile.run_key,
        "run_id": profile.run_id,
        "project": profile.project or None,
        "name": profile.name,
        "tags": list(profile.tags),
        "parent": profile.parent,
        "status": profile.status.value,
        "status_seq": profile.status_seq,
        "finish_reason": profile.finish_reason,
        "error": profile.error,
        "config": None if profile.config_id is None else config,
        "interaction": record.model_file,
        "environment": profile.environment,
        "model": record.model_fingerprint,
        "result_mode": profile.result_mode,
        "result_errors": profile.result_errors,
        "interactive": profile.interactive,
        "reasoning_traces": profile.reasoning_traces,
        "call_summarization": profile.call_summarization,
        "attached_functions": profile.attached_functions,
        "on_status_change": profile.on_status_change,
        "source": profile.source,
        "evaluation": profile.evaluation,
        "ttl_seconds": profile.ttl_seconds,
        "test": profile.test,
        "created_by": profile.created_by,
        "updated_by": profile.updated_by,
        "execution_seconds": record.wall_us / 1_000_000,
        "resource_use": {
            "cpu_seconds": record.cpu_us / 1_000_000,
            "wall_seconds": record.wall_us / 1_000_000,
            "peak_rss_bytes": record.peak_rss_bytes,
            "actions": record.actions,
        },
        "created_at": iso(record.created_us),
        "updated_at": iso(record.last_modified_us),
        "live": live,
        "seq": record.seq,
    }
