"""What one scrape tells, and where it comes from; how it is written is none of this module's business."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.log.base import Store
from worker.log.sqlite import SqliteStore
from worker.log.sqlite_files import DATABASE_FILE
from worker.metering import Histogram
from worker.settings import Settings
from worker.supervisor.meters import Meters, Tallies
from worker.supervisor.router import Router
from worker.supervisor.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Figures:
    """All that one scrape tells, as of one moment of the loop.

    ``status``: what ``worker_status`` answers. ``refused``: what came in and was no request, by code. ``commits``:
    None where nothing is committed. ``disk``: bytes, of the file system of the data folder and of the log's files;
    None where nothing is kept, or the disk does not tell. ``delay_seconds``: how long the loop let the scrape wait.
    """

    status: Mapping[str, Any]
    tallies: Tallies
    refused: Mapping[str, int]
    commits: Histogram | None
    disk: Mapping[str, int] | None
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from; ``gather`` runs on the loop, ``disk`` elsewhere."""

    settings: Settings
    meters: Meters
    supervisor: Supervisor
    router: Router
    store: Store

    async def gather(self, asked_at: float, disk: Mapping[str, int] | None) -> Figures:
        """All of it; ``asked_at``: the monotonic time before the loop was asked."""
        return Figures(
            delay_seconds=time.monotonic() - asked_at,
            tallies=self.meters.tallies(),
            refused=dict(self.router.refused),
            commits=self.store.commits.copy() if isinstance(self.store, SqliteStore) else None,
            disk=disk,
            status=await self.supervisor.status(brief=True),
        )

    async def hindrance(self) -> str:
        """Why the worker shall get no requests now; empty where it shall."""
        if self.supervisor.draining:
            return "the worker is draining"
        return "the log cannot be written" if self.store.in_outage else ""

    def disk(self) -> dict[str, int] | None:
        """Bytes, where something is kept on a disk that answers."""
        if self.settings.in_memory:
            return None
        folder = Path(self.settings.data)
        try:
            space = os.statvfs(folder)
            size = sum(file.stat().st_size for file in folder.glob(f"{DATABASE_FILE}*"))
        except OSError:
            return None
        return {
            "data_free_bytes": space.f_bavail * space.f_frsize,
            "data_size_bytes": space.f_blocks * space.f_frsize,
            "log_size_bytes": size,
        }
