"""What one stream gives: the events of a run, or of all runs of a scope, read with the actor of its caller.

A feed holds a position and at most one page of events; the next page is read when the one before has been sent. So a
reader that is slow costs the worker nothing, and another reader nothing at all.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, Protocol

from worker.gateway.bell import Bell
from worker.gateway.endpoints import Ask
from worker.gateway.faults import Fault
from worker.gateway.push_views import Positions, invalid_id, message_of, number_of, positions_id

PAGE_EVENTS: Final = 50
REREAD_SECONDS: Final = 5.0
"""How long a feed hears nothing before it asks: it may be the last ring that was lost."""
SCOPE_REREAD_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 0.5
_CLOSED: Final = (403, 404)
_HEAD_ONLY: Final = 2**62
_PAGE_RUNS: Final = 200
_MOST_FOREIGN: Final = 10_000
"""Keys of other scopes' runs that a feed remembers, not to look for them again."""

Item = tuple[str, dict[str, Any] | None]
"""An id, and the message that it is of; None: nothing is to be told up to there."""


class Feed(Protocol):
    """One stream, for one task."""

    async def open(self, last_id: str | None) -> str:
        """Begin behind an id of this stream, or now; the id of the beginning.

        Raises:
            Fault: 403 or 404 as any other request, 400 INVALID_EVENT_ID.
        """

    def items(self) -> AsyncGenerator[Item, None]:
        """What comes, without end.

        Raises:
            Fault: the run is gone, or may not be read any more.
        """


class Reading:
    """How all feeds ask: never too many at once."""

    def __init__(self, ask: Ask, bell: Bell, turns: asyncio.Semaphore) -> None:
        self._ask = ask
        self._bell = bell
        self._turns = turns
        self._rung = asyncio.Event()

    async def _result(self, type_: str, **fields: Any) -> Any:
        async with self._turns:
            return await self._ask.result(type_, **fields)

    async def _page(self, run_key: str, after_event: int, limit: int = PAGE_EVENTS) -> dict[str, Any]:
        """A page of events."""
        return await self._patiently("read_events", run_key=run_key, after_event=after_event, limit=limit)

    async def _patiently(self, type_: str, **fields: Any) -> dict[str, Any]:
        """What is kept of a run. A worker that is away, or busy, is waited for."""
        while True:
            try:
                page: dict[str, Any] = await self._result(type_, **fields)
            except Fault as fault:
                if fault.status < 503:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return page

    async def _head(self, run_key: str) -> int:
        page = await self._result("read_events", run_key=run_key, after_event=_HEAD_ONLY, limit=1)
        return int(page["head_event"])

    async def _wait(self, seconds: float) -> bool:
        """Whether the bell rang within ``seconds``."""
        try:
            await asyncio.wait_for(self._rung.wait(), seconds)
        except TimeoutError:
            return False
        return True


class RunFeed(Reading):
    """The events of one run; an id is the number of an event."""

    async def open(self, last_id: str | None) -> str:
        """Begin behind an event, or now. Raises: as ``Feed`` says."""
        self._run_key = self._ask.path["runKey"]
        self._last = 0 if last_id is None else number_of(last_id)
        self._scope = (await self._result("get_run", run_key=self._run_key))["scope"]
        head = await self._head(self._run_key)
        if last_id is None:
            self._last = head
        elif self._last > head:
            raise invalid_id(str(last_id), f"run {self._run_key} has {head} events")
        return str(self._last)

    async def items(self) -> AsyncGenerator[Item, None]:
        """What comes, without end. Raises: as ``Feed`` says."""
        with self._bell.telling(self, self._run_key):
            while True:
                self._rung.clear()
                page = await self._page(self._run_key, self._last)
                for event in page["events"]:
                    self._last = event["event"]
                    yield str(self._last), message_of(event, self._scope)
                if self._last >= page["head_event"]:
                    await self._wait(REREAD_SECONDS)

    def heard(self, _run_key: str) -> None:
        """The bell rang."""
        self._rung.set()


class ScopeFeed(Reading):
    """The events of all runs in a scope that the caller may read; an id is a position in each of them."""

    def __init__(self, ask: Ask, bell: Bell, turns: asyncio.Semaphore, max_runs: int) -> None:
        super().__init__(ask, bell, turns)
        self._max_runs = max_runs
        self._scope = {"scope_boundary": ask.path["boundary"], "scope_key": ask.path["scopeKey"]}
        self._place = "\0".join((*ask.place, *self._scope.values()))
        self._positions: dict[str, int] = {}
        self._changed: set[str] = set()
        self._strangers: set[str] = set()
        self._foreign: set[str] = set()
        self._is_complete = True

    async def open(self, last_id: str | None) -> str:
        """Begin behind an id, or now. Raises: as ``Feed`` says, 400 CHANNEL_TOO_WIDE."""
        before = None if last_id is None or last_id == "0" else Positions(self._place, last_id)
        run_keys = await self._runs()
        if last_id is None:
            heads = await asyncio.gather(*(self._head_if_open(run_key) for run_key in run_keys))
            found = zip(run_keys, heads, strict=True)
            self._positions = {run_key: head for run_key, head in found if head is not None}
        else:
            self._positions = {run_key: before.of(run_key) if before else 0 for run_key in run_keys}
        self._changed = set(self._positions)
        return self._id()

    async def items(self) -> AsyncGenerator[Item, None]:
        """What comes, without end. Raises: as ``Feed`` says."""
        with self._bell.telling(self, None):
            while True:
                if self._strangers or not self._is_complete:
                    await self._look_for_new()
                while self._changed:
                    async with contextlib.aclosing(self._of_run(self._changed.pop())) as items:
                        async for item in items:
                            yield item
                self._rung.clear()
                if self._strangers or self._changed or not self._is_complete:
                    continue
                if not await self._wait(SCOPE_REREAD_SECONDS):
                    self._is_complete = False
                    self._changed |= self._positions.keys()

    async def _head_if_open(self, run_key: str) -> int | None:
        try:
            return await self._head(run_key)
        except Fault as fault:
            if fault.status not in _CLOSED:
                raise
            return None

    async def _of_run(self, run_key: str) -> AsyncGenerator[Item, None]:
        while True:
            try:
                page = await self._page(run_key, self._positions[run_key])
            except Fault as fault:
                # Gone, or not for this caller any more: the other runs go on.
                if fault.status not in _CLOSED:
                    raise
                return
            for event in page["events"]:
                self._positions[run_key] = event["event"]
                yield self._id(), message_of(event, self._scope)
            if self._positions[run_key] >= page["head_event"]:
                return

    async def _look_for_new(self) -> None:
        """Runs that were not there before, or not for this caller: all their events are news."""
        strangers, self._strangers = self._strangers, set()
        self._is_complete = False
        try:
            new = [run_key for run_key in await self._runs() if run_key not in self._positions]
        except Fault as fault:
            if fault.status < 503:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
            return
        self._is_complete = True
        if len(self._foreign) > _MOST_FOREIGN:
            self._foreign.clear()
        self._foreign |= strangers.difference(new)
        self._positions |= dict.fromkeys(new, 0)
        self._changed |= set(new)

    async def _runs(self) -> list[str]:
        found: dict[str, None] = {}
        while True:
            page = await self._result(
                "query_runs", scope=self._scope, sort="run.created", first=len(found), max=_PAGE_RUNS
            )
            found |= dict.fromkeys(run["run_key"] for run in page["values"])
            if page["total_results"] > self._max_runs:
                raise Fault(
                    400,
                    "CHANNEL_TOO_WIDE",
                    f"the scope has {page['total_results']} runs, and a stream follows {self._max_runs} at most "
                    "(max_channel_runs); follow a narrower scope, or the runs by themselves",
                )
            if not page["values"] or len(found) >= page["total_results"]:
                return list(found)

    def _id(self) -> str:
        return positions_id(self._place, self._positions)

    def heard(self, run_key: str) -> None:
        """The bell rang for a run, of this scope or another."""
        if run_key in self._positions:
            self._changed.add(run_key)
        elif run_key not in self._foreign:
            self._strangers.add(run_key)
        else:
            return
        self._rung.set()
