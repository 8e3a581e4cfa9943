"""Requests under way: joined by their request_id, bounded in number, answered at their deadline.

A state-changing request that arrives again while the first is still being served waits for the same answer;
it is never served twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.errors import ErrorCode
from protocol.messages import Drain, Ping, Request, WorkerStatus
from worker.errors import CapacityError, InternalError, RequestError, WorkerError
from worker.runs.identity import request_digest
from worker.runs.stimuli import Work
from worker.supervisor.host import ReroutedError, RunHost
from worker.telemetry import Logger

Answer = Callable[[dict[str, Any]], None]
"""Takes the reply map of one asker, once."""
ALWAYS_SERVED: Final = (Ping, WorkerStatus, Drain)
"""What an operator needs most when a worker is full, or about to end."""


@dataclass(slots=True, eq=False)
class _Waiter:
    answer: Answer
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class Flight:
    """One request being served, with everybody who waits for it.

    ``digest`` tells whether a repetition means the same. ``expired`` is set when the deadline of the one who
    asked first has passed: nothing that has not begun may begin.
    """

    request: Request
    digest: bytes
    expired: bool = False
    works: list[tuple[RunHost, Work, "asyncio.Future[Work]"]] = field(default_factory=list)
    waiters: list[_Waiter] = field(default_factory=list)

    def submit(self, host: RunHost, work: Work) -> "asyncio.Future[Work]":
        """Hand work to a host, so that the deadline finds it.

        Raises:
            RequestError: DEADLINE_EXCEEDED, when it has passed before.
        """
        self.check()
        future = host.submit(work)
        self.works.append((host, work, future))
        return future

    def check(self) -> None:
        """Whether something may still begin.

        Raises:
            RequestError: DEADLINE_EXCEEDED.
        """
        if self.expired:
            raise RequestError(
                ErrorCode.DEADLINE_EXCEEDED,
                "the deadline passed before the request's turn came; nothing happened",
                applied="no",
            )

    @property
    def may_apply(self) -> bool:
        """Whether something of it was done, is being done or may still begin."""
        if not self.request.changes_state:
            return False
        return not self.expired or not all(_dropped(future) for _, _, future in self.works)


def _dropped(future: "asyncio.Future[Work]") -> bool:
    """Whether work was handed back before it began."""
    error = future.exception() if future.done() and not future.cancelled() else None
    return isinstance(error, ReroutedError) or (
        isinstance(error, RequestError) and error.code is ErrorCode.DEADLINE_EXCEEDED
    )


class Flights:
    """All requests under way; ``serve`` gives the body of a success reply or raises ``WorkerError``."""

    def __init__(
        self, serve: Callable[[Flight], Awaitable[dict[str, Any]]], *, limit: int, log: Logger
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._serve = serve
        self._limit = limit
        self._log = log
        self._by_id: dict[str, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = 0

    def __len__(self) -> int:
        """Requests being served that take a place; who has an answer has given the place away before."""
        return self._serving

    def submit(self, request: Request, answer: Answer) -> None:
        """Serve a request; ``answer`` is called once, now or later, on the loop."""
        digest = (
            request_digest(request.model_dump(mode="json", exclude_unset=True))
            if request.changes_state
            else b""
        )
        flight = self._by_id.get(request.request_id) if request.changes_state else None
        if flight is not None and flight.digest != digest:
            answer(failure(request.request_id, reused(request.request_id)))
            return
        if flight is None:
            used = self._serving
            if used >= self._limit and _takes_place(request):
                message = f"{used} requests are being served already"
                error = CapacityError(message, limit="max_requests", used=used, allowed=self._limit)
                answer(failure(request.request_id, error))
                return
            flight = Flight(request, digest)
            self._start(flight)
        self._wait(flight, request, answer, first=not flight.waiters)

    async def join(self) -> None:
        """Wait until everything under way is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, flight: Flight) -> None:
        if flight.request.changes_state:
            self._by_id[flight.request.request_id] = flight
        self._serving += _takes_place(flight.request)
        task = self._loop.create_task(self._run(flight))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wait(self, flight: Flight, request: Request, answer: Answer, *, first: bool) -> None:
        waiter = _Waiter(answer)
        if request.deadline_seconds is not None:
            waiter.timer = self._loop.call_later(
                request.deadline_seconds, self._expire, flight, waiter, first
            )
        flight.waiters.append(waiter)

    def _expire(self, flight: Flight, waiter: _Waiter, first: bool) -> None:
        if first:
            flight.expired = True
            for host, work, _ in flight.works:
                host.expire(work)
            # What was dropped is answered by the flight itself; give it the chance before saying "unknown".
            self._loop.call_soon(self._loop.call_soon, self._overdue, flight, waiter)
        else:
            self._overdue(flight, waiter)

    def _overdue(self, flight: Flight, waiter: _Waiter) -> None:
        if waiter not in flight.waiters:
            return
        flight.waiters.remove(waiter)
        applied = "unknown" if flight.may_apply else "no"
        error = RequestError(
            ErrorCode.DEADLINE_EXCEEDED,
            "the deadline passed; ask again with the same request_id to learn the outcome"
            if applied == "unknown"
            else "the deadline passed before the request was served; nothing happened",
            applied=applied,
        )
        waiter.answer(failure(flight.request.request_id, error))

    async def _run(self, flight: Flight) -> None:
        request_id = flight.request.request_id
        try:
            body = await self._serve(flight)
            reply = {"version": 1, "request_id": request_id, "ok": True, **body}
        except WorkerError as error:
            reply = failure(request_id, error)
        except Exception:  # noqa: BLE001 - the request boundary: a bug must cost one request, not the daemon
            self._log.exception(
                "bug while serving", type=type(flight.request).__name__, request_id=request_id
            )
            reply = failure(request_id, InternalError())
        finally:
            self._serving -= _takes_place(flight.request)
            self._by_id.pop(request_id, None) if flight.request.changes_state else None
        waiters, flight.waiters = flight.waiters, []
        for waiter in waiters:
            if waiter.timer is not None:
                waiter.timer.cancel()
            waiter.answer(reply)


def _takes_place(request: Request) -> bool:
    return not isinstance(request, ALWAYS_SERVED)


def failure(request_id: str | None, error: WorkerError) -> dict[str, Any]:
    """The reply map of a failed request."""
    return {"version": 1, "request_id": request_id, "ok": False, "error": error.to_wire()}


def reused(request_id: str) -> RequestError:
    """The refusal of a request_id that names another request."""
    return RequestError(
        ErrorCode.REQUEST_ID_REUSED,
        f"request_id {request_id!r} was used for a different request; choose a new one for a new intent",
        request_id=request_id,
    )
