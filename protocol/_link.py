"""The socket of one client: everything that the clients do with ZeroMQ."""

import os
from typing import Final

import zmq

from protocol._exchange import ClientSettings
from protocol.codec import decode_reply
from protocol.errors import ProtocolError
from protocol.messages import Reply

TRANSPORT_FACTOR: Final = 4
"""A peer that sends a body of more than this many times ``max_message_bytes`` is disconnected."""

# Plain integers: pyzmq's own are enums, whose operators cost more than the calls they are for.
_READABLE: Final = int(zmq.POLLIN)
_WRITABLE: Final = int(zmq.POLLOUT)
_AT_ONCE: Final = int(zmq.NOBLOCK)


def curve_keys(
    server_key: bytes | None, public_key: bytes | None, secret_key: bytes | None
) -> tuple[bytes, bytes, bytes] | None:
    """The three keys of a CURVE client, or none at all.

    Raises:
        ValueError: some are given, and some are not.
    """
    if server_key is None and public_key is None and secret_key is None:
        return None
    if server_key is None or public_key is None or secret_key is None:
        raise ValueError("CURVE needs server_key, public_key and secret_key")
    return server_key, public_key, secret_key


class Link:
    """The DEALER socket of one client. Reading ``events`` re-arms ``fd``, which is edge-triggered."""

    def __init__(
        self,
        settings: ClientSettings,
        context: zmq.Context[zmq.Socket[bytes]] | None,
        keys: tuple[bytes, bytes, bytes] | None,
    ) -> None:
        self._pid = os.getpid()
        self._max_message_bytes = settings.max_message_bytes
        self._context: zmq.Context[zmq.Socket[bytes]] = context or zmq.Context()
        self._owns_context = context is None
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._connected = False
        self._lost = False
        try:
            self._configure(keys)
            self._socket.ipv6 = "[" in settings.endpoint
            self._socket.connect(settings.endpoint)
        except zmq.ZMQError as error:
            self.close()
            what = f"endpoint {settings.endpoint!r}" + (" or its CURVE keys" if keys else "")
            raise ValueError(f"{what}: {error.strerror}") from error
        self.fd: Final = int(self._socket.getsockopt(zmq.FD))

    def _configure(self, keys: tuple[bytes, bytes, bytes] | None) -> None:
        socket = self._socket
        socket.linger = 0
        # Nothing is queued for a worker that is not there: a request given up must not reach it later.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        # The requests under way bound what is queued; a full queue here would make the worker drop replies.
        socket.sndhwm = socket.rcvhwm = 0
        socket.setsockopt(zmq.MAXMSGSIZE, TRANSPORT_FACTOR * self._max_message_bytes)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 10_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
        if keys is not None:
            socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = keys

    def check(self) -> None:
        """Refuse what would break the socket silently.

        Raises:
            RuntimeError: the client is closed, or this is a forked child of the process that made it.

        """
        if os.getpid() != self._pid:
            raise RuntimeError("a client does not survive a fork: make a new one in the child")
        if self._socket.closed:
            raise RuntimeError("the client is closed")

    def events(self) -> tuple[bool, bool]:
        """Whether something can be received, and whether the worker is there to be sent to."""
        events = int(self._socket.getsockopt(zmq.EVENTS))
        connected = bool(events & _WRITABLE)
        self._lost |= self._connected and not connected
        self._connected = connected
        return bool(events & _READABLE), connected

    def take_lost(self) -> bool:
        """Whether the connection was lost since the last question."""
        lost, self._lost = self._lost, False
        return lost

    def send(self, body: bytes) -> bool:
        """Hand over one body; False when the connection went away since ``events``."""
        try:
            self._socket.send_multipart((b"", body), _AT_ONCE)
        except zmq.Again:
            return False
        return True

    def receive_body(self) -> bytes | str | None:
        """The next body; why what arrived is none, as text; None when nothing is there.

        Must be called until it returns None, or ``events`` be read again.
        """
        try:
            frames = self._socket.recv_multipart(_AT_ONCE)
        except zmq.Again:
            return None
        if len(frames) != 2 or frames[0]:
            return f"{len(frames)} frames instead of an empty one and a body"
        return frames[1]

    def receive(self) -> Reply | str | None:
        """The next reply; otherwise as ``receive_body``."""
        body = self.receive_body()
        if not isinstance(body, bytes):
            return body
        try:
            return decode_reply(body, max_bytes=self._max_message_bytes)
        except ProtocolError as error:
            return error.message

    def close(self) -> None:
        """Give the socket and an own context back; idempotent, and nothing at all in a forked child."""
        if os.getpid() == self._pid:
            self._socket.close()
            if self._owns_context:
                self._context.term()
