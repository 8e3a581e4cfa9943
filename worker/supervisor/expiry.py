"""Runs that are deleted when nothing changed them for their time; never one that is in memory."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from worker.clock import now_us
from worker.errors import WorkerError
from worker.log.base import Store
from worker.telemetry import Logger

CHUNK: Final = 100
"""Runs that are looked for at once; each is deleted by a write of its own, so that others come between."""
LONGEST_SECONDS: Final = 60.0
"""Between two looks, where there is a run whose time is not over: clocks are set, and runs leave memory."""


class Expiry:
    """``delete`` deletes a run that has no host, and says whether it did."""

    def __init__(self, store: Store, delete: Callable[[str], Awaitable[bool]], log: Logger) -> None:
        self._store = store
        self._delete = delete
        self._log = log
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on, whenever the time of a run may be over."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Look no longer; idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def wake(self) -> None:
        """A run may have got an end that comes before the one that is waited for."""
        self._changed.set()

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            try:
                due = await self._store.next_expiry()
                seconds = LONGEST_SECONDS if due is None else max(0.0, (due - now_us()) / 1_000_000)
                if due is not None and seconds == 0:
                    await self._delete_expired()
                    continue
            except WorkerError as error:
                self._log.warning("expired runs could not be deleted", code=str(error.code))
                seconds, due = LONGEST_SECONDS, 0
            with contextlib.suppress(TimeoutError):
                limit = None if due is None else min(seconds, LONGEST_SECONDS)
                await asyncio.wait_for(self._changed.wait(), limit)

    async def _delete_expired(self) -> None:
        """Delete those whose time is over; the time of those in memory begins anew."""
        for run_key in await self._store.take_expired(now_us(), CHUNK):
            if await self._delete(run_key):
                self._log.info("run expired", run_key=run_key)
                continue
            again_us = now_us()
            await self._store.update_profile(
                run_key,
                lambda profile, at=again_us: replace(  # type: ignore[misc]
                    profile, expires_us=at + min(profile.ttl_seconds or 1, int(LONGEST_SECONDS)) * 1_000_000
                ),
                at_us=None,
            )
