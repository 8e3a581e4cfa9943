"""What a worker holds and how it does, for ``worker_status``."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import psutil

from worker.errors import LogUnavailableError
from worker.log.base import Store
from worker.process.pool import ZygotePool
from worker.runs.stimuli import ProcessState
from worker.settings import Settings
from worker.supervisor.catalogs import Catalogs
from worker.supervisor.environments import Environments
from worker.supervisor.host import RunHost
from worker.supervisor.memory import MemoryAccount
from worker.supervisor.slots import Slots
from worker.supervisor.table import RunTable, Stores

_COMING_UP: Final = (ProcessState.COLD, ProcessState.BOOTING, ProcessState.REPLAYING)
_OF_ONE: Final = (
    "max_message_bytes",
    "max_result_bytes",
    "inline_result_bytes",
    "max_result_depth",
    "max_result_values",
    "record_bytes",
    "callback_bytes",
    "output_bytes",
    "message_rate",
    "memory_bytes",
    "cpu_seconds",
    "action_cpu_seconds",
    "action_wall_seconds",
    "open_files",
    "threads",
    "scratch_bytes",
    "scratch_inodes",
)
"""Limits of one message, or of one run process: there is nothing that the worker as a whole uses of them."""

COUNT_SECONDS: Final = 2.0
"""How long counting the stored runs may take; a disk that hangs must not hide everything else."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Reads what the parts of a worker tell; asking costs no look at any process but the worker's own."""

    table: RunTable
    stores: Stores
    pool: ZygotePool
    replays: Slots
    boots: Slots
    memory: MemoryAccount
    environments: Environments
    settings: Settings
    catalogs: Catalogs

    async def build(self, requests: int, project: str | None, *, brief: bool = False) -> dict[str, Any]:
        """Live, restoring and queued runs, limits, zygotes, memory (bytes) and writes not yet durable.

        ``requests``: how many are being served. ``project``: the only one to tell of, where one was named.
        ``brief``: without environments, which are looked up on disk.
        """
        stored = await _stored(self.stores.durable)
        hosts = self.table.hosts()
        states = Counter(host.run.state for host in hosts)
        return {
            "runs": {
                "stored": stored,
                "archived": None if stored is None else max(0, stored - sum(map(_is_stored, hosts))),
                "ephemeral": await self.stores.ephemeral.count(),
                "live": sum(host.live for host in hosts),
                "restoring": sum(states[state] for state in _COMING_UP),
                "waiting_for_replay": self.replays.waiting,
                "waiting_for_boot": self.boots.waiting,
                "waiting_for_room": self.table.waiting,
                "queued_requests": sum(host.run.queued for host in hosts),
                "states": {state.value: count for state, count in states.items()},
            },
            "restores": [
                dict(zip(("run_key", "applied", "of"), (host.run_key, *host.replay_progress), strict=True))
                for host in hosts
                if host.run.state is ProcessState.REPLAYING
            ],
            "limits": self._limits(hosts, requests),
            "projects": {
                name: {
                    "models_dir": str(root),
                    "live": self.table.count_of(name),
                    "limit": self.settings.of_project(name).live_run_limit,
                }
                for name, root in self.catalogs.roots.items()
                if project in (None, name)
            },
            "zygotes": [
                {"pid": zygote.pid, "preloaded": list(zygote.preloaded), "runs": zygote.children}
                for zygote in self.pool.zygotes()
            ],
            # They tell what models of all projects ask for.
            "environments": await self.environments.status() if project is None and not brief else [],
            "memory": {
                "worker_bytes": psutil.Process().memory_info().rss,
                "runs_bytes": self.memory.used_bytes,
            },
            "log": {"pending_writes": self.stores.durable.pending_writes, **self.stores.durable.health()},
        }

    def _limits(self, hosts: list[RunHost], requests: int) -> dict[str, dict[str, int]]:
        settings = self.settings
        shared = {
            "live_run_limit": (settings.live_run_limit, len(hosts)),
            "total_memory_bytes": (self.memory.allowed_bytes, self.memory.used_bytes),
            "max_requests": (settings.max_requests, requests),
            "inbox_limit": (settings.inbox_limit, max((host.run.queued for host in hosts), default=0)),
            "replay_limit": (self.replays.limit, self.replays.used),
            "boot_limit": (self.boots.limit, self.boots.used),
            "environment_build_limit": (settings.environment_build_limit, self.environments.building),
            "zygote_limit": (settings.zygote_limit, self.pool.active),
        }
        return {
            **{name: {"allowed": allowed, "used": used} for name, (allowed, used) in shared.items()},
            **{name: {"allowed": getattr(settings, name)} for name in _OF_ONE},
        }


def _is_stored(host: RunHost) -> bool:
    """Whether a run in memory is one of those in the log."""
    return not host.incarnation.ephemeral and (host.incarnation.continues or host.run.came_up)


async def _stored(store: Store) -> int | None:
    """How many runs there are, or None where the log cannot tell: the rest is worth knowing then most of all."""
    try:
        return await asyncio.wait_for(store.count(), COUNT_SECONDS)
    except (LogUnavailableError, TimeoutError):
        return None
