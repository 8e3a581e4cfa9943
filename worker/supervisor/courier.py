"""Tells of statuses what the outbox has to tell: at least once, in order for each run, side by side for many.

What is told was written with the status, so it survives whatever happens here. A run waits for none of this and is
not touched by what comes of it.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from worker.clock import now_us
from worker.errors import LogError
from worker.log.outbox import DueDeliveries, Outbox
from worker.runs.backoff import Backoff
from worker.runs.deliveries import ERROR_CHARACTERS, Delivery, DeliveryState, Settled, shown_target
from worker.telemetry import Logger

OUTAGE_SECONDS: Final = 1.0
"""When the outbox is asked again that could not be read or written."""
CLOSING_SECONDS: Final = 2.0
"""What is under way may still be answered; what is not is sent again by the next worker."""


class NotDeliveredError(Exception):
    """An attempt failed; the message says of what, for people. ``final``: the next would fail alike."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message[:ERROR_CHARACTERS])
        self.final = final


Carry = Callable[[Delivery, int], Awaitable[None]]
"""Tells one delivery, at the attempt of that number; raises NotDeliveredError."""


@dataclass(frozen=True, slots=True)
class CourierLimits:
    """How many attempts may be under way, how many of them to one target, and how long each may take."""

    attempts: int
    of_one_target: int
    timeout_seconds: float


@dataclass(slots=True)
class DeliveryTallies:
    """What came of attempts since the worker started."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0


class Courier:
    """Sends what one outbox has, from ``start`` until ``close``. ``wake`` it when something was written there."""

    def __init__(
        self,
        outbox: Outbox,
        carry: Carry,
        *,
        backoff: Backoff,
        limits: CourierLimits,
        tallies: DeliveryTallies,
        log: Logger,
    ) -> None:
        self._outbox = outbox
        self._carry = carry
        self._backoff = backoff
        self._limits = limits
        self._tallies = tallies
        self._log = log
        self._woken = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._asked: Counter[str] = Counter()
        self._loop_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what an earlier worker left."""
        self._loop_task = asyncio.get_running_loop().create_task(self._run())
        self._loop_task.add_done_callback(self._ended)

    def wake(self) -> None:
        """Look into the outbox again, soon."""
        self._woken.set()

    async def close(self) -> None:
        """Begin nothing any more, give what is under way a moment, and leave the rest to the next worker."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task])
        if self._under_way:
            _, late = await asyncio.wait(list(self._under_way.values()), timeout=CLOSING_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    @property
    def under_way(self) -> int:
        """Attempts being made."""
        return len(self._under_way)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause = await self._begin_due()
            except LogError:  # told where the outage is
                pause = OUTAGE_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)

    async def _begin_due(self) -> float | None:
        """Begin what is due and has a place; gives the seconds until more is, None where nothing waits for a time."""
        while (room := self._limits.attempts - len(self._under_way)) > 0:
            at_us = now_us()
            full = [key for key, count in self._asked.items() if count >= self._limits.of_one_target]
            due = await self._outbox.due(
                at_us, limit=room, without_runs=list(self._under_way), without_targets=full
            )
            if self._begin(due):
                continue
            return None if due.next_us is None else max(0.0, (due.next_us - now_us()) / 1e6)
        return None  # whoever ends wakes

    def _begin(self, due: DueDeliveries) -> bool:
        """Begin what has a place among its target's; whether anything had one."""
        before = len(self._under_way)
        for delivery in due.found:
            if self._asked[delivery.target_key] < self._limits.of_one_target:
                self._asked[delivery.target_key] += 1
                task = asyncio.get_running_loop().create_task(self._attempt(delivery))
                self._under_way[delivery.run_key] = task
                task.add_done_callback(self._ended)
        return len(self._under_way) > before

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("bug in the courier", exc_info=error)

    async def _attempt(self, delivery: Delivery) -> None:
        pause_seconds = OUTAGE_SECONDS
        try:
            settled = await self._settled(delivery)
            with contextlib.suppress(LogError):  # it is sent again then, as nobody knows of it
                await self._outbox.settle(settled)
                self._tell(delivery, settled)
                pause_seconds = 0.0
        finally:
            # What could not be written down, by an outage or a bug, is due as before; it must not be sent without end.
            asyncio.get_running_loop().call_later(pause_seconds, self._release, delivery)

    def _release(self, delivery: Delivery) -> None:
        del self._under_way[delivery.run_key]
        self._asked[delivery.target_key] -= 1
        if not self._asked[delivery.target_key]:
            del self._asked[delivery.target_key]
        self.wake()

    async def _settled(self, delivery: Delivery) -> Settled:
        """Make an attempt; what it came to."""
        attempt, error = delivery.attempt + 1, None
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                await self._carry(delivery, attempt)
        except TimeoutError:
            error = NotDeliveredError(f"no answer within {self._limits.timeout_seconds:g} seconds")
        except NotDeliveredError as failed:
            error = failed
        at_us, next_us = now_us(), None
        if error is not None and not error.final and attempt < self._backoff.attempts:
            pause = self._backoff.pause_seconds(attempt, random.random())  # noqa: S311 - spreads retries, hides nothing
            next_us = at_us + int(pause * 1e6)
        message = None if error is None else str(error)
        return Settled(delivery.delivery_id, attempt, delivery.round, at_us, message, next_us)

    def _tell(self, delivery: Delivery, settled: Settled) -> None:
        told: dict[str, Any] = {
            "run_key": delivery.run_key,
            "delivery_id": delivery.delivery_id,
            "status": delivery.status.value,
            "target": shown_target(delivery.target),
            "attempt": settled.attempt,
        }
        match settled.state:
            case DeliveryState.DELIVERED:
                self._tallies.delivered += 1
                self._log.info("status delivered", **told)
            case DeliveryState.DEAD:
                self._tallies.dead += 1
                self._log.error(
                    "status delivery given up; redeliver it by its id", **told, error=settled.error
                )
            case DeliveryState.PENDING:
                self._tallies.retried += 1
                seconds = round(((settled.next_us or settled.at_us) - settled.at_us) / 1e6, 3)
                self._log.warning(
                    "status not delivered", **told, error=settled.error, retry_after_seconds=seconds
                )
