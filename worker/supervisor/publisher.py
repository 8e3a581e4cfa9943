"""The event socket: durable events out, to whoever subscribed.

Nothing waits for a subscriber. One that reads too slowly loses events at its high-water mark, sees the hole in
their numbers, and reads what it missed with ``read_events``.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import zmq

from protocol.events import BUILDING_TOPIC, PROGRESS_TOPIC
from worker.channel import pack
from worker.log.base import StoredEvent
from worker.supervisor.curve import Curve, Door
from worker.supervisor.events import encode_event
from worker.supervisor.router import BindError
from worker.telemetry import Logger

SEND_QUEUE: Final = 4096
"""Events kept for one subscriber that does not keep up."""

SUBSCRIPTION_BYTES: Final = 4096
DRAIN_MESSAGES: Final = 256
LINGER_MS: Final = 2000
REOPEN_SECONDS: Final = 0.05


class Publisher:
    """Owns a context and the XPUB socket; ``endpoint`` is what it is bound to, "" for no socket at all."""

    def __init__(self, endpoint: str, log: Logger, curve: Curve | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._subscriptions: set[bytes] = set()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self.endpoint = ""
        self._published = 0
        self._dropped = 0
        self._door: Door | None = None
        if endpoint:
            self._open(endpoint, curve)

    def status(self) -> dict[str, Any]:
        """Where it is, how many different topics somebody subscribed to, how many events were sent or could not be."""
        return {
            "endpoint": self.endpoint,
            "subscriptions": len(self._subscriptions),
            "published": self._published,
            "dropped": self._dropped,
        }

    def publish(self, event: StoredEvent) -> None:
        """Send an event to those who want it; encoded only if there may be somebody."""
        if self._has_subscribers():
            self._send(encode_event(event), run_key=event.run_key, event_number=event.event)

    def progress(self, run_key: str, cloned_from: str | None, applied: int, total: int) -> None:
        """Tell how far a replay has come; nobody keeps that, and it has no number."""
        if self._has_subscribers():
            body = {"version": 1, "run_key": run_key, "applied": applied, "total": total}
            if cloned_from is not None:
                body["cloned_from"] = cloned_from
            self._send((f"{PROGRESS_TOPIC}{run_key}".encode(), pack(body)), run_key=run_key)

    def building(self, environment: str, request_ids: list[str], size_bytes: int, seconds: float) -> None:
        """Tell how the build of an environment gets on, and who waits for it; as little kept as progress."""
        if self._has_subscribers():
            body = {"version": 1, "environment": environment, "request_ids": request_ids}
            told = pack({**body, "size_bytes": size_bytes, "seconds": seconds})
            self._send((f"{BUILDING_TOPIC}{environment}".encode(), told), environment=environment)

    def _has_subscribers(self) -> bool:
        if self._socket is None or self._socket.closed:
            return False
        if not self._subscriptions:
            self._drain()
        return bool(self._subscriptions)

    def _send(self, frames: tuple[bytes, bytes], **about: Any) -> None:
        socket = self._socket
        if socket is None:
            return
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
            self._published += 1
        except zmq.ZMQError as error:
            self._dropped += 1
            self._log.warning("event not published", error=str(error), **about)
        if int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._drain()

    def close(self) -> None:
        """Send what is queued (at most two seconds) and release everything; idempotent."""
        if self._socket is not None and self._context is not None and not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._release()
            self._end()

    def _release(self, linger: int | None = None) -> None:
        if self._door is not None:
            self._door.release()
        if self._socket is not None:
            self._socket.close(linger)

    def _end(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._context is not None:
            self._context.term()

    def _open(self, endpoint: str, curve: Curve | None) -> None:
        self._context = zmq.Context()
        self._socket = self._make(self._context)
        if curve is not None:
            self._door = Door(curve, self._socket, self._log)
            curve.clients.on_removal(self._part)
        try:
            self._bind(self._socket, endpoint)
        except zmq.ZMQError as error:
            self._release(linger=0)
            self._end()
            raise BindError(
                f"cannot bind {endpoint} for events: {error.strerror}. Is another worker running there? Choose "
                'another endpoint with --events, or "" for none'
            ) from error

    def _make(self, context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        socket.set(zmq.SNDHWM, SEND_QUEUE)
        socket.set(zmq.LINGER, LINGER_MS)
        socket.set(zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES)
        return socket

    def _bind(self, socket: "zmq.Socket[bytes]", endpoint: str) -> None:
        socket.set(zmq.IPV6, int("[" in endpoint))
        if self._door is not None:
            self._door.prepare(endpoint)
        socket.bind(endpoint)
        self.endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        if self._door is not None:
            self._door.bound(self.endpoint)
        self._loop.add_reader(socket.fileno(), self._drain)
        self._drain()

    def _part(self) -> None:
        """End all connections: libzmq judges a key when one begins, and cannot end that of one subscriber.

        Those that are still known come back by themselves, and read what they missed with ``read_events``.
        """
        if self._socket is None or self._context is None or self._door is None or self._socket.closed:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._release(linger=0)
        self._subscriptions.clear()
        self._socket = self._make(self._context)
        self._door.attend(self._socket)
        self._reopen()

    def _reopen(self) -> None:
        socket = self._socket
        if socket is None or socket.closed:
            return
        try:
            self._bind(socket, self.endpoint)
        except zmq.ZMQError as error:
            # libzmq gives the port back on a thread of its own.
            self._log.debug("event socket not bound yet", error=str(error))
            self._loop.call_later(REOPEN_SECONDS, self._reopen)

    def _drain(self) -> None:
        """Take up what was subscribed and unsubscribed; the descriptor is edge-triggered."""
        socket = self._socket
        if socket is None or socket.closed:
            return
        for _ in range(DRAIN_MESSAGES):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._note(frames[0])
        self._loop.call_soon(self._drain)

    def _note(self, message: bytes) -> None:
        if message[:1] == b"\x01":
            self._subscriptions.add(message[1:])
        elif message[:1] == b"\x00":
            self._subscriptions.discard(message[1:])


@contextmanager
def publisher(endpoint: str, log: Logger, curve: Curve | None = None) -> Iterator[Publisher]:
    """A publisher that is closed at the end.

    Raises:
        BindError: the endpoint cannot be bound.
    """
    opened = Publisher(endpoint, log, curve)
    try:
        yield opened
    finally:
        opened.close()
