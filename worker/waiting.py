"""Ways of waiting on the event loop that cost little where much is waited for."""

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

Done = Callable[[Exception | None], None]
"""Told of the end of something, once: None where it was done, else what it came to grief of."""


def awaited(begin: Callable[[Done], None]) -> "asyncio.Future[None]":
    """Begin now what tells its end by a call, and give what waits for that end.

    Cancelling it gives up the waiting, not what was begun.
    """
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    begin(done)
    return future


class Gates:
    """A lock per key, for as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._gates: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: Hashable) -> asyncio.Lock:
        """The lock that all who come for this key pass, in the order of their coming."""
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = asyncio.Lock()
        return gate

    def is_locked(self, key: Hashable) -> bool:
        """Whether somebody holds the lock of a key; asking makes none."""
        gate = self._gates.get(key)
        return gate is not None and gate.locked()


class Alarm:
    """A deadline that is set far more often than it passes.

    Calls ``ring`` once the time that was set last has passed; ``close`` lets go of it for good.

    Setting and cancelling leave the loop's timer where it is as long as it does not come too late: one that
    comes early looks again.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Ring in ``seconds`` from now, and not at the time set before."""
        self._due = due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > due:
            self._rearm(due)

    def cancel(self) -> None:
        """Do not ring."""
        self._due = None

    def close(self) -> None:
        """Do not ring, and keep nothing in the loop."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rearm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._rearm(self._due)
        else:
            self._due = None
            self._ring()


def helpers(count: int) -> ThreadPoolExecutor:
    """Threads for ``asyncio.to_thread``, all of them begun: how many a process has tells nothing of what it did."""
    threads = ThreadPoolExecutor(count, thread_name_prefix="helper")
    together = threading.Barrier(count)
    for begun in [threads.submit(together.wait) for _ in range(count)]:
        begun.result()
    return threads
