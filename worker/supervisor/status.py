"""What a worker holds and how it does, for ``worker_status``."""

from collections import Counter
from typing import Any

import psutil

from worker.errors import LogUnavailableError
from worker.log.base import Store
from worker.process.pool import ZygotePool
from worker.runs.stimuli import ProcessState
from worker.settings import Settings
from worker.supervisor.host import RunHost
from worker.supervisor.replay import ReplaySlots
from worker.supervisor.table import RunTable, Stores

_COMING_UP = (ProcessState.COLD, ProcessState.BOOTING, ProcessState.REPLAYING)


async def worker_status(
    table: RunTable, stores: Stores, pool: ZygotePool, slots: ReplaySlots, settings: Settings
) -> dict[str, Any]:
    """Live, restoring and queued runs, limits, zygotes, memory (bytes), how the log is."""
    hosts = table.hosts()
    states = Counter(host.run.state for host in hosts)
    return {
        "runs": {
            "stored": await _stored(stores.durable),
            "ephemeral": await stores.ephemeral.count(),
            "live": sum(host.live for host in hosts),
            "restoring": sum(states[state] for state in _COMING_UP),
            "waiting_for_replay": slots.waiting,
            "queued_requests": sum(host.run.queued for host in hosts),
            "states": {state.value: count for state, count in states.items()},
        },
        "restores": [
            dict(zip(("run_key", "applied", "of"), (host.run_key, *host.replay_progress), strict=True))
            for host in hosts
            if host.run.state is ProcessState.REPLAYING
        ],
        "limits": {
            "live_run_limit": settings.live_run_limit,
            "replay_limit": settings.replay_limit,
            "inbox_limit": settings.inbox_limit,
            "max_requests": settings.max_requests,
            "max_message_bytes": settings.max_message_bytes,
            "memory_bytes": settings.memory_bytes,
        },
        "zygotes": [
            {"pid": zygote.pid, "preloaded": list(zygote.preloaded), "runs": zygote.children}
            for zygote in pool.zygotes()
        ],
        "memory": {"worker_bytes": psutil.Process().memory_info().rss, "runs_bytes": _run_bytes(hosts)},
        "log": {"pending_writes": stores.durable.pending_writes, **stores.durable.health()},
    }


async def _stored(store: Store) -> int | None:
    """How many runs there are, or None where the log cannot tell: the rest is worth knowing then most of all."""
    try:
        return await store.count()
    except LogUnavailableError:
        return None


def _run_bytes(hosts: list[RunHost]) -> int:
    total = 0
    for host in hosts:
        if host.pid is None:
            continue
        try:
            total += psutil.Process(host.pid).memory_info().rss
        except psutil.Error:
            continue
    return total
