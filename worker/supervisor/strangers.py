"""Bounds the connections of a socket, and those that have not proved who they are, which libzmq would accept without end.

Every connection takes a descriptor, and runs and databases need descriptors too.
"""

import asyncio
import os
import socket as sockets
import struct
import time
from collections import deque
from typing import Final

import zmq

HANDSHAKE_SECONDS: Final = 5.0
"""How long a connection may take to prove who it is."""
STRANGERS: Final = 512
"""Unproved connections of one socket; of more, the oldest is ended. A known client needs milliseconds."""
CONNECTIONS: Final = 2048
"""All connections of one socket; of more, the newest is ended, so that those there are go on."""
DRAIN_EVENTS: Final = 256

_EVENTS: Final = int(zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
_EVENT: Final = struct.Struct("=Hi")
_ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
_SUCCEEDED: Final = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)


class Strangers:
    """Watches one socket, from before it is bound until ``close``, which comes before the socket's own."""

    def __init__(self, socket: "zmq.Socket[bytes]", connections: int = CONNECTIONS) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket
        self._allowed = connections
        self._open: set[int] = set()
        # By descriptor when it was accepted, oldest first. libzmq does not say which one succeeded; so these are all
        # connections as young as a handshake may be, except those that are known by a message.
        self._young: dict[int, float] = {}
        self._successes: deque[float] = deque()
        self._ports: set[int] = set()
        address = f"inproc://connections-{id(self)}"
        self._events: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
        # Without a bound, because libzmq would wait for a reader in the middle of its work.
        self._events.set(zmq.RCVHWM, 0)
        socket.monitor(address, _EVENTS)
        self._events.connect(address)
        self._loop.add_reader(self._events.fileno(), self._drain)

    def __bool__(self) -> bool:
        """Whether there are young connections, so that ``know`` may matter."""
        return bool(self._young)

    def listen(self, endpoint: str) -> None:
        """Include a bound endpoint."""
        self._ports.add(int(endpoint.rpartition(":")[2]))
        self._drain()

    def know(self, descriptor: int) -> None:
        """A message came from this connection: it is no stranger's."""
        self._young.pop(descriptor, None)

    def close(self) -> None:
        """Watch no more."""
        self._loop.remove_reader(self._events.fileno())
        self._socket.monitor(None, 0)
        self._events.close(linger=0)

    def _drain(self) -> None:
        if self._events.closed:
            return
        for _ in range(DRAIN_EVENTS):
            try:
                event, value = _EVENT.unpack(self._events.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                return
            self._note(event, value)
        self._loop.call_soon(self._drain)

    def _note(self, event: int, descriptor: int) -> None:
        now = time.monotonic()
        if event == _SUCCEEDED:
            self._successes.append(now)
            return
        self._young.pop(descriptor, None)
        if event != _ACCEPTED:
            self._open.discard(descriptor)
        elif len(self._open) >= self._allowed:
            self._end(descriptor)
        else:
            self._open.add(descriptor)
            self._young[descriptor] = now
            self._forget(now - HANDSHAKE_SECONDS)
            if len(self._young) - len(self._successes) > STRANGERS:
                oldest = next(iter(self._young))
                del self._young[oldest]
                self._end(oldest)

    def _forget(self, before: float) -> None:
        """What is older has succeeded, or libzmq ends it."""
        while self._successes and self._successes[0] < before:
            self._successes.popleft()
        while self._young and next(iter(self._young.values())) < before:
            del self._young[next(iter(self._young))]

    def _end(self, descriptor: int) -> None:
        """Shut a connection down; libzmq sees its end and closes it.

        It may have closed it already, and the number may be something else's by now: so a duplicate is judged, which
        nobody else can close, and only connections to our own ports are ended.
        """
        try:
            duplicate = os.dup(descriptor)
        except OSError:
            return
        try:
            with sockets.socket(fileno=duplicate) as connection:
                duplicate = -1
                name = connection.getsockname()
                if isinstance(name, tuple) and name[1] in self._ports:
                    connection.shutdown(sockets.SHUT_RDWR)
        except OSError:
            if duplicate >= 0:
                os.close(duplicate)
