"""The two clients: ``Client`` blocks, ``AsyncClient`` is awaited; both have one method per request type.

What is asked stands in ``protocol._calls``, when it is sent again in ``protocol._exchange``; here are only the
two ways of waiting for a reply. A failed request raises ``ProtocolError``::

    with Client("tcp://127.0.0.1:5670") as worker:
        run = worker.create_run("market/model.py")
        worker.call_operation(run.run_key, "step", [1])
"""

import asyncio
import select
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, Self, TypeVar

import zmq

from protocol import _calls, _function_calls
from protocol._call import Call, Fields
from protocol._exchange import RETRIED, ClientSettings, Exchange, match
from protocol._link import Link, curve_keys
from protocol._methods import awaitable as _awaitable
from protocol._methods import blocking as _blocking
from protocol._profile_calls import AwaitableProfiles, BlockingProfiles
from protocol._reading_calls import AwaitableReading, BlockingReading
from protocol._shared_calls import AwaitableSharing, BlockingSharing
from protocol.codec import MAX_MESSAGE_BYTES
from protocol.entities import Actor
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import Reply

DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:5670"
LONGEST_WAIT_SECONDS: Final = 3600.0
"""Of one poll, which counts milliseconds in 32 bits."""

P = ParamSpec("P")
T = TypeVar("T")


class _Worker:
    """A worker as its client sees it: what both clients share."""

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        timeout_seconds: float = 60.0,
        resend_seconds: float = 10.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        actor: Actor | Fields | None = None,
        project: str | None = None,
        retried: Collection[ErrorCode] = RETRIED,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        server_key: bytes | None = None,
        public_key: bytes | None = None,
        secret_key: bytes | None = None,
    ) -> None:
        """Connect in the background, now and again whenever the connection is lost.

        ``endpoint``: where the worker's ROUTER is. ``timeout_seconds``: how long a request waits for its reply
        in all, repetitions included. ``resend_seconds``: after how long without a reply it is sent again.
        ``max_message_bytes``: the largest body, in both directions. ``actor``: who asks, unless a request says
        otherwise; so ``project``, the name space that is asked. ``retried``: errors after which a request is sent
        again, as long as there is time. ``context``: a ZeroMQ context that stays the caller's; without one the client has its own.
        ``server_key``, ``public_key``, ``secret_key``: CURVE keys (z85), all three or none.

        Raises:
            ValueError: the endpoint, a key or a limit makes no sense.

        """
        self._settings = ClientSettings(
            endpoint, timeout_seconds, resend_seconds, max_message_bytes, actor, project, retried
        )
        self._link = Link(self._settings, context, curve_keys(server_key, public_key, secret_key))
        self._prepare()

    def _prepare(self) -> None:
        """Make what one kind of client needs besides."""

    @property
    def endpoint(self) -> str:
        """Where this client asks."""
        return self._settings.endpoint


class Client(_Worker, BlockingProfiles, BlockingReading, BlockingSharing):
    """Asks and waits. For one thread at a time: a second one is refused, not queued."""

    ping = _blocking(_calls.ping)
    worker_status = _blocking(_calls.worker_status)
    drain = _blocking(_calls.drain)
    create_run = _blocking(_calls.create_run)
    get_run = _blocking(_calls.get_run)
    query_runs = _blocking(_calls.query_runs)
    update_run = _blocking(_calls.update_run)
    evict_run = _blocking(_calls.evict_run)
    restore_run = _blocking(_calls.restore_run)
    rewind_run = _blocking(_calls.rewind_run)
    clone_run = _blocking(_calls.clone_run)
    migrate_run = _blocking(_calls.migrate_run)
    call_operation = _blocking(_calls.call_operation)
    read_variables = _blocking(_calls.read_variables)
    write_variables = _blocking(_calls.write_variables)
    perform_actions = _blocking(_calls.perform_actions)
    read_metadata = _blocking(_calls.read_metadata)
    update_metadata = _blocking(_calls.update_metadata)
    serve_functions = _blocking(_function_calls.serve_functions)
    answer_function = _blocking(_function_calls.answer_function)

    def _prepare(self) -> None:
        self._turn = threading.Lock()
        self._poller = select.poll()
        self._poller.register(self._link.fd, select.POLLIN)

    def request(self, type_: str, /, **fields: Any) -> Reply:
        """Ask anything by its name on the wire; the whole reply, with ``run`` and ``warnings``.

        ``fields`` are the request's own and those of ``protocol._calls.Options``. Raises ProtocolError.
        """
        return self.perform(_calls.request(type_, **fields))

    def perform(self, call: Call[Any]) -> Reply:
        """Send one call and wait for its reply.

        Raises:
            ProtocolError: the worker's answer, or DEADLINE_EXCEEDED when there was none in time.
            RuntimeError: the client is closed, in use by another thread, or the process has forked.

        """
        with self._taken():
            exchange = Exchange(call, self._settings, time.monotonic())
            while True:
                reply = self._advance(exchange)
                if reply is not None:
                    return reply

    @contextmanager
    def _taken(self) -> Iterator[None]:
        self._link.check()
        if not self._turn.acquire(blocking=False):
            raise RuntimeError("a client is for one thread at a time: make one for each")
        try:
            yield
        finally:
            self._turn.release()

    def _advance(self, exchange: Exchange) -> Reply | None:
        """Do the one thing that can be done now, or wait until there is one."""
        now = time.monotonic()
        readable, connected = self._link.events()
        if self._link.take_lost():
            exchange.connection_lost(now)
        reply = self._receive(exchange, now) if readable else None
        if reply is not None:
            return reply
        exchange.check(now)
        if connected and exchange.is_due(now):
            if self._link.send(exchange.body):
                exchange.sent(now)
        elif not readable:
            # A millisecond more, because a poll that ends early would spin.
            self._poller.poll(1000 * min(exchange.wake_at(now) - now, LONGEST_WAIT_SECONDS) + 1)
        return None

    def _receive(self, exchange: Exchange, now: float) -> Reply | None:
        received = self._link.receive()
        if received is None:
            return None
        if isinstance(received, str):
            exchange.ignored(received)
            return None
        ours = match(received, {exchange.request_id: exchange})
        return None if ours is None else ours.receive(received, now)

    def close(self) -> None:
        """Give the socket back; idempotent. A reply that was not waited for is lost."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Flight(Exchange):
    """An exchange that a task waits for."""

    def __init__(self, call: Call[Any], settings: ClientSettings, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(call, settings, loop.time())
        self.future: asyncio.Future[Reply] = loop.create_future()
        self.timer: asyncio.TimerHandle | None = None

    def arm(self, at: float, wake: "Callable[[_Flight], None]") -> None:
        """Look again at ``at``, instead of whenever that was to be."""
        self.disarm()
        self.timer = self.future.get_loop().call_at(at, wake, self)

    def disarm(self) -> None:
        """Do not look again by the clock."""
        if self.timer is not None:
            self.timer.cancel()

    def fail(self, error: Exception) -> None:
        """End the task's wait, unless it ended already."""
        if not self.future.done():
            self.future.set_exception(error)


class AsyncClient(_Worker, AwaitableProfiles, AwaitableReading, AwaitableSharing):
    """Asks for many tasks of one event loop at once, over one connection.

    A task that is cancelled only stops waiting: the worker may still do what it was asked.
    """

    ping = _awaitable(_calls.ping)
    worker_status = _awaitable(_calls.worker_status)
    drain = _awaitable(_calls.drain)
    create_run = _awaitable(_calls.create_run)
    get_run = _awaitable(_calls.get_run)
    query_runs = _awaitable(_calls.query_runs)
    update_run = _awaitable(_calls.update_run)
    evict_run = _awaitable(_calls.evict_run)
    restore_run = _awaitable(_calls.restore_run)
    rewind_run = _awaitable(_calls.rewind_run)
    clone_run = _awaitable(_calls.clone_run)
    migrate_run = _awaitable(_calls.migrate_run)
    call_operation = _awaitable(_calls.call_operation)
    read_variables = _awaitable(_calls.read_variables)
    write_variables = _awaitable(_calls.write_variables)
    perform_actions = _awaitable(_calls.perform_actions)
    read_metadata = _awaitable(_calls.read_metadata)
    update_metadata = _awaitable(_calls.update_metadata)
    serve_functions = _awaitable(_function_calls.serve_functions)
    answer_function = _awaitable(_function_calls.answer_function)

    def _prepare(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flights: dict[str, _Flight] = {}
        self._due: dict[str, _Flight] = {}
        """Those to be sent as soon as the connection takes them."""
        self._repetitions = 0
        self._losses = 0

    @property
    def in_flight(self) -> int:
        """Requests that a task waits for."""
        return len(self._flights)

    @property
    def repetitions(self) -> int:
        """How often a request was sent again, since the client was made."""
        return self._repetitions

    @property
    def connection_losses(self) -> int:
        """How often a connection to the worker ended, since the client was made."""
        return self._losses

    async def request(self, type_: str, /, **fields: Any) -> Reply:
        """As ``Client.request``."""
        return await self.perform(_calls.request(type_, **fields))

    async def perform(self, call: Call[Any]) -> Reply:
        """Send one call and wait for its reply.

        Raises:
            ProtocolError: the worker's answer, or DEADLINE_EXCEEDED when there was none in time.
            RuntimeError: the client is or was closed, belongs to another loop, or the process has forked.
            ValueError: a request with this ``request_id`` is under way here.

        """
        loop = self._join_loop()
        flight = _Flight(call, self._settings, loop)
        if flight.request_id in self._flights:
            raise ValueError(f"request_id {flight.request_id!r} is under way on this client")
        self._flights[flight.request_id] = flight
        try:
            self._wake(flight)
            return await flight.future
        finally:
            flight.disarm()
            self._due.pop(flight.request_id, None)
            del self._flights[flight.request_id]

    def _join_loop(self) -> asyncio.AbstractEventLoop:
        self._link.check()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._link.fd, self._pump)
        elif self._loop is not loop:
            raise RuntimeError("an async client belongs to the event loop that used it first")
        return loop

    def _wake(self, flight: _Flight) -> None:
        """The flight's time has come: to be sent, or to be given up."""
        now = flight.future.get_loop().time()
        try:
            flight.check(now)
        except ProtocolError as error:
            flight.fail(error)
            return
        if flight.is_due(now):
            self._due[flight.request_id] = flight
            self._pump()
            if flight.request_id not in self._due:
                return  # sending it set the next time
        flight.arm(flight.wake_at(now), self._wake)

    def _pump(self) -> None:
        """Move everything that can be moved: only then does the descriptor report the next thing."""
        if self._loop is None:
            return
        while True:
            now = self._loop.time()
            readable, connected = self._link.events()
            if self._link.take_lost():
                self._connection_lost(now)
            if readable:
                self._receive(now)
            elif connected and self._due:
                self._send(now)
            else:
                return

    def _connection_lost(self, now: float) -> None:
        self._losses += 1
        for flight in self._flights.values():
            flight.connection_lost(now)
            flight.arm(flight.wake_at(now), self._wake)

    def _send(self, now: float) -> None:
        for request_id, flight in list(self._due.items()):
            if not self._link.send(flight.body):
                return
            del self._due[request_id]
            self._repetitions += flight.times_sent > 0
            flight.sent(now)
            flight.arm(flight.wake_at(now), self._wake)

    def _receive(self, now: float) -> None:
        """Take one reply: asking whether there is another is cheaper than to fail to take it."""
        received = self._link.receive()
        if isinstance(received, str):
            for flight in self._flights.values():
                flight.ignored(received)
        elif received is not None:
            ours = match(received, self._flights)
            if ours is not None and not ours.future.done():
                self._finish(ours, received, now)

    def _finish(self, flight: _Flight, received: Reply, now: float) -> None:
        try:
            reply = flight.receive(received, now)
        except ProtocolError as error:
            flight.fail(error)
            return
        if reply is not None:
            flight.future.set_result(reply)
        else:
            self._due.pop(flight.request_id, None)
            flight.arm(flight.wake_at(now), self._wake)

    async def close(self) -> None:
        """Give the socket back and end every wait with a RuntimeError; idempotent."""
        if self._loop is not None:
            self._loop.remove_reader(self._link.fd)
            self._loop = None
        for flight in self._flights.values():
            flight.fail(RuntimeError("the client was closed before the reply came"))
        self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
