"""Requests under way: joined by their request_id, bounded in number, answered at their deadline.

A state-changing request that arrives again while the first is still being served waits for the same answer;
it is never served twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from protocol.errors import ErrorCode
from protocol.messages import Drain, Ping, Request, WorkerStatus
from worker.errors import CapacityError, InternalError, RequestError, WorkerError
from worker.runs.identity import request_digest
from worker.runs.stimuli import Work
from worker.supervisor.host import ReroutedError, RunHost
from worker.telemetry import Logger
from worker.waiting import Done, awaited

T = TypeVar("T")
Answer = Callable[[dict[str, Any]], None]
"""Takes the reply map of one asker, once."""
ALWAYS_SERVED: Final = (Ping, WorkerStatus, Drain)
"""What an operator needs most when a worker is full, or about to end."""

Come = Callable[[], dict[str, Any]]
"""What became of a request: gives the body of its success reply, or raises."""


@dataclass(slots=True, eq=False)
class _Waiter:
    answer: Answer
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class _Errand:
    """Work handed to a host; ``is_dropped`` once it was handed back before it began."""

    host: RunHost
    work: Work
    is_dropped: bool = False


@dataclass(slots=True, eq=False)
class Flight:
    """One request being served, with everybody who waits for it.

    ``digest`` tells whether a repetition means the same, ``began`` when it came, in the loop's time. ``expired`` is set when the deadline of the one who
    asked first has passed: nothing that has not begun may begin. ``delay``: what it waits for, where that takes long.
    ``of_course``: it is an initial action of a run, which others wait for; or, where ``is_carried``, what was decided
    about a request.
    """

    request: Request
    digest: bytes
    began: float
    expired: bool = False
    delay: str = ""
    of_course: bool = False
    is_carried: bool = False
    _waiting: set["asyncio.Future[None]"] = field(default_factory=set)
    _errands: list[_Errand] = field(default_factory=list)
    waiters: list[_Waiter] = field(default_factory=list)

    def begin(self, host: RunHost, work: Work, done: Done) -> None:
        """Hand work to a host, so that the deadline finds it; ``done`` is called once, at its end.

        Raises:
            RequestError: DEADLINE_EXCEEDED, when it has passed before.
        """
        self.check()
        errand = _Errand(host, work)
        self._errands.append(errand)

        def ended(error: Exception | None) -> None:
            errand.is_dropped = error is not None and _hands_back(error)
            done(error)

        host.submit(work, ended)

    async def perform(self, host: RunHost, work: Work) -> None:
        """``begin``, and wait for the end.

        Raises:
            WorkerError: what ended the work.
            ReroutedError: it did not begin, because the incarnation ended.
        """
        await self.performing(host, work)

    def performing(self, host: RunHost, work: Work) -> "asyncio.Future[None]":
        """``begin`` now, and wait for the end later."""
        return awaited(lambda done: self.begin(host, work, done))

    async def wait(self, coming: "asyncio.Task[T]", delay: str) -> T:
        """Wait for what goes on without this request; ``delay`` says what that is.

        Raises:
            RequestError: DEADLINE_EXCEEDED, at the deadline.
        """
        self.check()
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(_: object) -> None:
            if not told.done():
                told.set_result(None)

        coming.add_done_callback(tell)
        self._waiting.add(told)
        self.delay = delay
        try:
            await told
        finally:
            self._waiting.discard(told)
            coming.remove_done_callback(tell)
        self.check()
        self.delay = ""
        return coming.result()

    def expire(self) -> None:
        """Let nothing begin any more."""
        self.expired = True
        for told in self._waiting:
            if not told.done():
                told.set_result(None)
        for errand in self._errands:
            errand.host.expire(errand.work)

    def check(self) -> None:
        """Whether something may still begin.

        Raises:
            RequestError: DEADLINE_EXCEEDED.
        """
        if self.expired:
            raise RequestError(
                ErrorCode.DEADLINE_EXCEEDED,
                f"the deadline passed before the request's turn came{self.because}; nothing happened",
                applied="no",
            )

    @property
    def because(self) -> str:
        """Why it takes so long, as part of a sentence; empty where nothing is known."""
        return f": {self.delay}, which goes on; ask again" if self.delay else ""

    @property
    def may_apply(self) -> bool:
        """Whether something of it was done, is being done or may still begin."""
        if not self.request.changes_state:
            return False
        return not self.expired or not all(errand.is_dropped for errand in self._errands)


def _hands_back(error: Exception) -> bool:
    """Whether work was handed back before it began."""
    return isinstance(error, ReroutedError) or (
        isinstance(error, RequestError) and error.code is ErrorCode.DEADLINE_EXCEEDED
    )


class Flights:
    """All requests under way.

    ``serve`` gives the body of a success reply or raises ``WorkerError``. ``serve_at_once`` is tried before: it
    takes what needs no waiting but for one run's process and says True, and calls what it was given once; a
    ``ReroutedError`` that this raises sends the request the long way. Requests keep their order: none is served
    at once while the long way of an earlier one has not begun.
    """

    def __init__(
        self,
        serve: Callable[[Flight], Awaitable[dict[str, Any]]],
        serve_at_once: Callable[[Flight, Callable[[Come], None]], bool],
        *,
        limit: int,
        log: Logger,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._serve = serve
        self._serve_at_once = serve_at_once
        self._limit = limit
        self._log = log
        self._by_id: dict[str, Flight] = {}
        self._under_way: set[Flight] = set()
        self._tasks: set[asyncio.Task[dict[str, Any]]] = set()
        self._serving = 0
        self._not_begun = 0
        self._landed = asyncio.Event()

    def __len__(self) -> int:
        """Requests being served that take a place; who has an answer has given the place away before."""
        return self._serving

    def submit(self, request: Request, answer: Answer) -> None:
        """Serve a request; ``answer`` is called once, now or later, on the loop."""
        digest, flight = b"", None
        if request.changes_state:
            digest = request_digest(request.model_dump(mode="json", exclude_unset=True))
            flight = self._by_id.get(request.request_id)
        if flight is not None:
            if flight.digest == digest:
                self._wait(flight, request, answer)
            else:
                answer(failure(request.request_id, reused(request.request_id)))
        elif self._serving >= self._limit and _takes_place(request):
            used = self._serving
            message = f"{used} requests are being served already"
            error = CapacityError(message, limit="max_requests", used=used, allowed=self._limit)
            answer(failure(request.request_id, error))
        else:
            flight = Flight(request, digest, self._loop.time())
            self._wait(flight, request, answer)
            self._start(flight)

    async def join(self) -> None:
        """Wait until everything under way is answered."""
        while self._under_way:
            self._landed.clear()
            await self._landed.wait()

    def _start(self, flight: Flight) -> None:
        self._under_way.add(flight)
        if flight.request.changes_state:
            self._by_id[flight.request.request_id] = flight
        self._serving += _takes_place(flight.request)
        if self._not_begun or not self._takes_at_once(flight):
            self._go_the_long_way(flight)

    def _takes_at_once(self, flight: Flight) -> bool:
        try:
            return self._serve_at_once(flight, partial(self._land, flight))
        except Exception as error:  # noqa: BLE001 - the request boundary: a bug is told of by _land
            self._land(flight, partial(_raise, error))
            return True

    def _go_the_long_way(self, flight: Flight) -> None:
        self._not_begun += 1
        task = self._loop.create_task(self._begin(flight))
        self._tasks.add(task)
        task.add_done_callback(partial(self._arrived, flight))

    async def _begin(self, flight: Flight) -> dict[str, Any]:
        self._not_begun -= 1
        return await self._serve(flight)

    def _arrived(self, flight: Flight, task: "asyncio.Task[dict[str, Any]]") -> None:
        self._tasks.discard(task)
        self._land(flight, task.result)

    def _wait(self, flight: Flight, request: Request, answer: Answer) -> None:
        waiter = _Waiter(answer)
        if request.deadline_seconds is not None:
            is_first = not flight.waiters
            waiter.timer = self._loop.call_later(
                request.deadline_seconds, self._expire, flight, waiter, is_first
            )
        flight.waiters.append(waiter)

    def _expire(self, flight: Flight, waiter: _Waiter, first: bool) -> None:
        if first:
            flight.expire()
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
            else f"the deadline passed before the request was served{flight.because}; nothing happened",
            applied=applied,
        )
        waiter.answer(failure(flight.request.request_id, error))

    def _land(self, flight: Flight, come: Come) -> None:
        """Answer everybody who waits, with what ``come`` gives or raises; never raises itself.

        It is called from within hosts, which must go on whatever a request or its answer came to grief of. What
        has landed lands no more.
        """
        if flight not in self._under_way:
            return
        try:
            reply = self._reply(flight, come)
            if reply is None:
                self._go_the_long_way(flight)
            else:
                self._answer(flight, reply)
        except Exception:  # noqa: BLE001 - the request boundary: a bug must cost one request, not the daemon
            self._log.exception("bug while answering", request_id=flight.request.request_id)

    def _reply(self, flight: Flight, come: Come) -> dict[str, Any] | None:
        """The reply map; None where the work was handed back before it began."""
        request_id = flight.request.request_id
        try:
            return {"version": 1, "request_id": request_id, "ok": True, **come()}
        except ReroutedError:
            return None
        except WorkerError as error:
            return failure(request_id, error)
        except Exception:  # noqa: BLE001 - the request boundary, as above
            self._log.exception(
                "bug while serving", type=type(flight.request).__name__, request_id=request_id
            )
            return failure(request_id, InternalError())

    def _answer(self, flight: Flight, reply: dict[str, Any]) -> None:
        request = flight.request
        self._under_way.discard(flight)
        self._serving -= _takes_place(request)
        if request.changes_state:
            self._by_id.pop(request.request_id, None)
        self._landed.set()
        self._log.debug(
            "request served",
            type=type(request).__name__,
            run_key=getattr(request, "run_key", None),
            request_id=request.request_id,
            ok=reply["ok"],
            duration_seconds=round(self._loop.time() - flight.began, 4),
        )
        waiters, flight.waiters = flight.waiters, []
        for waiter in waiters:
            if waiter.timer is not None:
                waiter.timer.cancel()
            waiter.answer(reply)


def _raise(error: Exception) -> dict[str, Any]:
    raise error


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
