"""The worker's sockets: bytes in, requests to the supervisor, replies out. It moves frames, nothing else.

The ROUTER socket is drained from its descriptor. The descriptor is edge-triggered: after every receive and
every send its events are looked at again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import zmq

from protocol.codec import decode_request, encode
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import Request
from worker.errors import InternalError
from worker.supervisor.curve import Curve, Door
from worker.supervisor.peers import Peer
from worker.telemetry import Logger

DRAIN_MESSAGES: Final = 256
LINGER_MS: Final = 2000
SEND_QUEUE: Final = 10_000

# Plain integers: pyzmq's own are enums, whose operators cost more than the calls they are for.
_READABLE: Final = int(zmq.POLLIN)
_EVENTS: Final = int(zmq.EVENTS)
_AT_ONCE: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

Submit = Callable[[Request, Peer], None]


class BindError(Exception):
    """An endpoint cannot be bound; the message names it and why."""


class Router:
    """Owns the context and the ROUTER socket; ``close`` sends what is queued and releases both.

    ``refused``: what came in and is no request, by error code.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        submit: Submit,
        *,
        max_message_bytes: int,
        log: Logger,
        curve: Curve | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._submit = submit
        self._max_message_bytes = max_message_bytes
        self._log = log
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.ROUTER_MANDATORY, 1)
        self._socket.set(zmq.ROUTER_HANDOVER, 1)
        self._socket.set(zmq.SNDHWM, SEND_QUEUE)
        self._socket.set(zmq.LINGER, LINGER_MS)
        # A body over the limit is refused with an answer; only what is absurd is dropped with its peer.
        self._socket.set(zmq.MAXMSGSIZE, 4 * max_message_bytes)
        self._scheduled = False
        self.refused: Counter[str] = Counter()
        self._door = None if curve is None else Door(curve, self._socket, log)
        self._take: Callable[[], list[bytes] | None] = (
            partial(self._socket.recv_multipart, _AT_ONCE) if self._door is None else self._door.receive
        )
        self.endpoints = [self._bind(endpoint) for endpoint in endpoints]
        self._loop.add_reader(self._socket.fileno(), self._drain)
        self._schedule()

    def close(self) -> None:
        """Stop receiving, send what is queued (at most two seconds), release everything."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._release()

    def _release(self, linger: int | None = None) -> None:
        if self._door is not None:
            self._door.release()
        self._socket.close(linger)
        if self._door is not None:
            self._door.close()
        self._context.term()

    def _bind(self, endpoint: str) -> str:
        self._socket.set(zmq.IPV6, int("[" in endpoint))
        if self._door is not None:
            self._door.prepare(endpoint)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self._release(linger=0)
            raise BindError(
                f"cannot bind {endpoint}: {error.strerror}. Is another worker running there? Choose another "
                "endpoint with --bind"
            ) from error
        bound = self._socket.get_string(zmq.LAST_ENDPOINT)
        if self._door is not None:
            self._door.bound(bound)
        return bound

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        if self._socket.closed:
            return
        for _ in range(DRAIN_MESSAGES):
            if not self._is_readable():
                return
            frames = self._take()
            if frames is not None:
                self._receive(frames)
        self._schedule()

    def _is_readable(self) -> bool:
        return bool(int(self._socket.getsockopt(_EVENTS)) & _READABLE)

    def _receive(self, frames: list[bytes]) -> None:
        # Everything up to the empty delimiter is the way back, also through proxies; a peer that sends none is
        # answered as it spoke.
        end = frames.index(b"", 1) + 1 if b"" in frames[1:-1] else 1
        envelope, bodies = frames[:end], frames[end:]

        try:
            request = decode_request(_single(bodies), max_bytes=self._max_message_bytes)
        except ProtocolError as error:
            self.refused[str(error.code)] += 1
            self._refuse(envelope, error)
            return
        try:
            self._submit(
                request, Peer(tuple(envelope), partial(self._reply, envelope), partial(self._push, envelope))
            )
        except Exception:  # noqa: BLE001 - the request boundary: a bug must cost one request, not the daemon
            self._log.exception("bug while taking a request", request_id=request.request_id)
            self._refuse(envelope, InternalError(), request.request_id)

    def _refuse(self, envelope: list[bytes], error: ProtocolError, request_id: str | None = None) -> None:
        reply = {
            "version": 1,
            "request_id": request_id or error.request_id,
            "ok": False,
            "error": error.to_wire(),
        }
        self._reply(envelope, reply)

    def _reply(self, envelope: list[bytes], reply: dict[str, Any]) -> None:
        if self._socket.closed:
            return
        try:
            body = encode(reply, max_bytes=self._max_message_bytes)
        except ProtocolError as error:
            too_large = ProtocolError(
                ErrorCode.RESULT_TOO_LARGE,
                f"the reply cannot be sent: {error.message}; ask for less at once",
                **error.information,
            )
            body = encode({**reply, "ok": False, "result": None, "error": too_large.to_wire()})
        try:
            self._send(envelope, body)
        except zmq.ZMQError as error:
            # The peer is gone or reads nothing; it may ask again with its request_id.
            self._log.debug("reply dropped", error=str(error), request_id=reply.get("request_id"))

    def _push(self, envelope: list[bytes], message: dict[str, Any]) -> bool:
        """Send what nobody asked for; False where the connection is gone or reads nothing.

        Raises:
            ProtocolError: MESSAGE_TOO_LARGE.
        """
        body = encode(message, max_bytes=self._max_message_bytes)
        if self._socket.closed:
            return False
        try:
            self._send(envelope, body)
        except zmq.ZMQError:
            return False
        return True

    def _send(self, envelope: list[bytes], body: bytes) -> None:
        try:
            for frame in envelope:
                self._socket.send(frame, _MORE)
            self._socket.send(body, _AT_ONCE)
        finally:
            if self._is_readable():
                self._schedule()


def _single(bodies: list[bytes]) -> bytes:
    """The one frame that a request is.

    Raises:
        ProtocolError: INVALID_REQUEST; there are several, or none.
    """
    if len(bodies) == 1:
        return bodies[0]
    raise ProtocolError(
        ErrorCode.INVALID_REQUEST,
        f"a request is one frame behind the empty delimiter, not {len(bodies)}",
        path="",
    )
