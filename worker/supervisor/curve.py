"""CURVE on the worker's tcp endpoints: who may connect, and whose messages are taken.

Whoever is not known gets nothing: no reply, no reason, and after a while the end of the connection.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zmq
from zmq.utils import z85

from protocol.keys import KeyFileError, KeyPair, read_key_pair
from worker.settings import Settings
from worker.supervisor.client_keys import ClientKeys
from worker.supervisor.runtime import StartError
from worker.supervisor.strangers import HANDSHAKE_SECONDS, Strangers
from worker.telemetry import Logger

ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
CURVE_DOMAIN: Final = b"worker"
OPEN_DOMAIN: Final = b"ipc"
OPEN_USER: Final = "ipc"
"""Of whoever came by ipc; no key has three characters."""
ACCEPT_QUEUE: Final = 1024
"""Connections that the kernel holds until libzmq accepts them."""
DRAIN_HANDSHAKES: Final = 16
"""Judged in one turn of the loop."""
TELL_SECONDS: Final = 60.0
"""Between two log lines about clients that were refused."""

_ALLOW: Final = b"200"
# libzmq tells the client a 400 and keeps a 300 to itself: the connection stays silent until its time is over.
_IGNORE: Final = b"300"


@dataclass(frozen=True, slots=True)
class Curve:
    """The worker's own keys and those of its clients."""

    keys: KeyPair
    clients: ClientKeys


@contextmanager
def curve(settings: Settings, log: Logger) -> Iterator[Curve | None]:
    """The keys that the settings name, followed while the context lasts; None where they name none.

    Raises:
        StartError: the worker's key file, or the folder, is not as it should be.
    """
    if not settings.curve_server_key:
        yield None
        return
    try:
        keys = read_key_pair(Path(settings.curve_server_key))
    except KeyFileError as error:
        raise StartError(f"setting curve_server_key: {error}") from error
    try:
        clients = ClientKeys(Path(settings.curve_clients), log)
    except KeyFileError as error:
        raise StartError(f"setting curve_clients: {error}") from error
    clients.start()
    try:
        yield Curve(keys, clients)
    finally:
        clients.close()


class Door:
    """One socket's side of CURVE, and the ZAP handler of its context, which must have no other.

    Made before the socket is bound, and closed before its context is ended.
    """

    def __init__(self, curve: Curve, socket: "zmq.Socket[bytes]", log: Logger) -> None:
        self._loop = asyncio.get_running_loop()
        self._curve = curve
        self._log = log
        self._refused = 0
        self._told_at = -TELL_SECONDS
        self._zap: zmq.Socket[bytes] = socket.context.socket(zmq.REP)
        self._zap.set(zmq.LINGER, 0)
        self._zap.bind(ZAP_ENDPOINT)
        self._loop.add_reader(self._zap.fileno(), self._judge)
        self.attend(socket)

    def attend(self, socket: "zmq.Socket[bytes]") -> None:
        """Be the door of this socket, instead of the last, which was released."""
        self._socket = socket
        self._strangers = Strangers(socket)

    def release(self) -> None:
        """Watch the socket no more; it can be closed."""
        self._strangers.close()

    def prepare(self, endpoint: str) -> None:
        """Set what the next bind takes up: CURVE for tcp, everybody for ipc."""
        socket, remote = self._socket, endpoint.startswith("tcp://")
        socket.set(zmq.HANDSHAKE_IVL, int(1000 * HANDSHAKE_SECONDS))
        socket.set(zmq.BACKLOG, ACCEPT_QUEUE)
        if remote:
            socket.curve_publickey, socket.curve_secretkey = self._curve.keys.public, self._curve.keys.secret
        socket.set(zmq.CURVE_SERVER, int(remote))
        socket.set(zmq.ZAP_DOMAIN, CURVE_DOMAIN if remote else OPEN_DOMAIN)
        # With it, nobody is let in if the handler should not be there.
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def bound(self, endpoint: str) -> None:
        """Watch what was bound."""
        if endpoint.startswith("tcp://"):
            self._strangers.listen(endpoint)

    def receive(self) -> list[bytes] | None:
        """The next message; None where the key of its sender was removed. Raises ``zmq.Again``."""
        frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        if self._strangers:
            self._strangers.know(int(frames[0].get(zmq.SRCFD)))
        # What the handler answered when the connection began: the key, in Z85.
        user = frames[0].get("User-Id")
        if user in self._curve.clients or user == OPEN_USER:
            return [frame.bytes for frame in frames]
        return None

    def close(self) -> None:
        """Judge no more; the socket is to be released first."""
        self._loop.remove_reader(self._zap.fileno())
        self._zap.close(linger=0)

    def _judge(self) -> None:
        if self._zap.closed:
            return
        for _ in range(DRAIN_HANDSHAKES):
            try:
                request = self._zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._zap.send_multipart(self._answer(request))
        self._loop.call_soon(self._judge)

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, request_id, domain, address, _routing_id, mechanism, *credentials = request
        if domain == OPEN_DOMAIN and mechanism == b"NULL":
            return [version, request_id, _ALLOW, b"", OPEN_USER.encode(), b""]
        if domain == CURVE_DOMAIN and mechanism == b"CURVE" and len(credentials) == 1:
            key = z85.encode(credentials[0])
            if self._curve.clients.find(key.decode()):
                return [version, request_id, _ALLOW, b"", key, b""]
            self._tell(address=address.decode("ascii", "replace"), public_key=key.decode())
        return [version, request_id, _IGNORE, b"", b"", b""]

    def _tell(self, **about: Any) -> None:
        """One line a minute, however many there are."""
        self._refused += 1
        now = self._loop.time()
        if now - self._told_at >= TELL_SECONDS:
            self._log.warning("unknown client key", connections=self._refused, **about)
            self._refused, self._told_at = 0, now
