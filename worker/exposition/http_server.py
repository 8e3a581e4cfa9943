"""A small HTTP server in threads of its own: the library's, bounded and silent."""

import asyncio
import contextlib
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client.exposition import ThreadingWSGIServer

CLIENT_SECONDS: Final = 10.0
"""How long a connection may be silent."""
CONNECTIONS: Final = 16
"""Served at once, each by a thread; others are turned away."""
POLL_SECONDS: Final = 0.1
"""How soon the server notes that it shall end."""


class AddressError(Exception):
    """The address of metrics cannot be had."""


StartResponse = Callable[[str, list[tuple[str, str]]], object]
App = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by its base
        """Nothing: a probe every few seconds is no news."""


class _Server(ThreadingWSGIServer):
    """Bounded: the thread that accepts never waits for those that serve, as it must hear when to end."""

    def __init__(self, host: str, port: int) -> None:
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind, without asking the DNS for a name that nothing uses."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread, where there is a place."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: the client went away or sent no HTTP."""


@contextlib.asynccontextmanager
async def serving(app: App, host: str, port: int) -> AsyncIterator[str]:
    """Serve ``app`` while inside; gives the address that is bound, of port 0 the one that was free.

    Raises:
        AddressError: the address cannot be had.
    """
    try:
        server = _Server(host, port)
    except OSError as error:
        raise AddressError(
            f"cannot bind {host} port {port} for metrics: {error.strerror or error}. Is another one running there? "
            'Choose another address (setting metrics), or "" for none'
        ) from error
    server.set_app(app)
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_SECONDS,), name="metrics-server", daemon=True
    )
    thread.start()
    try:
        shown = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
        yield f"{shown}:{server.server_port}"
    finally:
        # Those that are served meanwhile wait for the loop, so it must not wait for them.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
