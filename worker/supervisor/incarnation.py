"""What a host needs to know to bring one run into memory: decided by the supervisor, executed by the host."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.log.base import Store
from worker.process.environment import Environment
from worker.runs.assembly import REPLAY, Assembly
from worker.runs.contexts import ModelContext
from worker.runs.history import Replayable, ReplayPlan
from worker.runs.profile import RunProfile
from worker.runs.record import RunRecord
from worker.runs.rules import RunRules, rules_of
from worker.runs.stimuli import Origin
from worker.supervisor.models import ModelSource

Pages = Callable[[], AsyncIterator[Sequence[Replayable]]]
Archived = Callable[[], Awaitable[Mapping[str, bytes]]]
Commit = Callable[[RunRecord, Mapping[str, bytes], bytes | None], Awaitable[RunRecord]]


async def nothing_archived() -> Mapping[str, bytes]:
    """The archive of a run that no snapshot is assigned to."""
    return {}


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One coming into memory.

    ``record`` is the run's row as last seen; ``begin`` gives it claimed for this host; ``pages`` what to replay of the
    history, in order; ``commit`` makes durable what this incarnation begins with: it takes the row, the records of boot
    and replay, and what external functions answered while a new run's model was loaded, and returns the row as it then
    is. The boot of a replay gets ``boot_answers`` from the history. ``event`` is the life-cycle
    event fired in the model, after boot (create) or after the replay. ``assembly`` is what is done in between, in
    order; a snapshot in it assigns what ``archived`` gives, as of ``archived_us``. ``mapped_files``: (file of the model
    folder, the one that the run finds in its place), relative to it. ``profile``: as last seen; its status may have moved on.
    ``lineage``: (seq, run key) of the runs that recorded the history up to there before it was copied, in order.
    """

    origin: Origin
    record: RunRecord
    store: Store
    model: ModelSource
    environment: Environment
    context: ModelContext
    raw_context: dict[str, Any]
    execution: dict[str, Any]
    presets: dict[str, Any]
    plan: ReplayPlan
    begin: Callable[[], Awaitable[RunRecord]]
    pages: Pages
    commit: Commit
    event: str
    ephemeral: bool
    strict_replay: bool
    boot_at_us: int
    boot_actor: dict[str, Any] | None = None
    boot_request_id: str = ""
    boot_answers: bytes | None = None
    warnings: tuple[dict[str, Any], ...] = ()
    mapped_files: tuple[tuple[str, str], ...] = ()
    assembly: Assembly = REPLAY
    archived: Archived = nothing_archived
    archived_us: int = 0
    profile: RunProfile | None = None
    lineage: tuple[tuple[int, str], ...] = ()
    rules: RunRules = field(init=False)

    def __post_init__(self) -> None:
        """The rules are read once."""
        object.__setattr__(self, "rules", rules_of(self.profile))

    @property
    def run_key(self) -> str:
        """The run that comes into memory."""
        return self.record.run_key

    @property
    def continues(self) -> bool:
        """Whether there was such a run before this incarnation."""
        return self.origin not in (Origin.CREATE, Origin.CLONE)

    @property
    def continues_ephemeral(self) -> bool:
        """Whether it goes on with a run that was ephemeral, and had a history, before."""
        return self.record.ephemeral and self.origin in (Origin.RESTORE, Origin.RECAST, Origin.REWIND)

    def worker_context(self, record: RunRecord) -> str:
        """The JSON text that the model finds in ``EPICENTER_WORKER_CONTEXT``."""
        address = record.address or {}
        return json.dumps(
            {
                "runKey": record.run_key,
                "execution": self.execution,
                "model": self.raw_context,
                "accountShortName": address.get("account_short_name"),
                "projectShortName": address.get("project_short_name"),
                "seed": record.seed,
            }
        )
