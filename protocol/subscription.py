"""A subscription to the worker's event socket, as it is heard in an event loop."""

import asyncio

import zmq


class Subscription:
    """A SUB socket in an event loop, for one task; an empty endpoint is one on which nothing is heard.

    ``keys``: the worker's public CURVE key, the own public and the own secret one. ``context`` stays the caller's.

    Raises:
        ValueError: the endpoint or the keys are none.

    """

    def __init__(
        self,
        endpoint: str,
        subject: str,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        keys: tuple[bytes, bytes, bytes] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = context or zmq.Context()
        self._owns_context = context is None
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 10_000)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
        self._heard = asyncio.Event()
        self._fd = int(self._socket.getsockopt(zmq.FD))
        try:
            if keys is not None:
                self._socket.curve_serverkey, self._socket.curve_publickey, self._socket.curve_secretkey = (
                    keys
                )
            self._socket.subscribe(subject)
            if endpoint:
                self._socket.ipv6 = "[" in endpoint
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._release()
            raise ValueError(f"endpoint {endpoint!r}: {error.strerror}") from error
        self._loop.add_reader(self._fd, self._heard.set)

    def take(self) -> list[tuple[bytes, bytes]]:
        """Topics and bodies that have arrived; taking all re-arms the descriptor, which is edge-triggered."""
        self._heard.clear()
        messages: list[tuple[bytes, bytes]] = []
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return messages
            messages.append((frames[0], frames[-1]))

    async def wait(self, seconds: float) -> bool:
        """Whether something may have arrived within ``seconds``."""
        try:
            await asyncio.wait_for(self._heard.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Give the socket back."""
        self._loop.remove_reader(self._fd)
        self._release()

    def _release(self) -> None:
        self._socket.close()
        if self._owns_context:
            self._context.term()
