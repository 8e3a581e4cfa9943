"""Runs the application: uvicorn, with the bounds on connections that it has no setting for."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from protocol.client import AsyncClient
from protocol.keys import read_key_pair, read_public_key
from worker.gateway.app import make_app
from worker.gateway.bell import Bell
from worker.gateway.link import RETRIED, Link
from worker.gateway.meters import Bound, Meters
from worker.gateway.settings import GatewaySettings
from worker.telemetry import Logger

_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
)
_BUSY_BODY: Final = b'{"status":503,"message":"max_connections are open","information":{"code":"GATEWAY_BUSY","retryable":true}}'

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)
MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers; what has come at once with the end of a head is taken."""


class ListenError(Exception):
    """The address cannot be listened on."""


class _ReaderBoundProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it; a connection whose other side reads nothing of what waits for it is cut."""

    unread_seconds: float
    meters: Meters
    _reader_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._judge_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_judging()

    def _judge_reader(self, waiting_bytes: int | None = None) -> None:
        """Cut who reads nothing of what waits; the transport would keep it without end."""
        now_bytes = self.transport.get_write_buffer_size()
        if waiting_bytes is not None and now_bytes >= waiting_bytes:
            self.meters.turned_away[Bound.UNREAD_SECONDS] += 1
            self.transport.abort()
            return
        self._reader_timer = self.loop.call_later(self.unread_seconds, self._judge_reader, now_bytes)

    def _stop_judging(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_judging()
        super().connection_lost(exc)


def bounded_protocol(settings: GatewaySettings, counted: Meters) -> type[HttpToolsProtocol]:
    """HTTP as uvicorn speaks it; a head too slow or too large, or a connection too many, is turned away."""

    class BoundedProtocol(_ReaderBoundProtocol):
        unread_seconds = settings.unread_seconds
        meters = counted
        _head_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.meters.connections += 1
            if len(self.connections) > settings.max_connections:
                self.meters.turned_away[Bound.CONNECTIONS] += 1
                transport.write(_BUSY % (len(_BUSY_BODY), _BUSY_BODY))
                transport.close()
            else:
                self._await_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._head_timer is not None:
                self._head_bytes += len(data)
                if self._head_bytes > MAX_HEAD_BYTES:
                    self.meters.turned_away[Bound.HEAD_BYTES] += 1
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._head_timer is None:
                self._await_head()

        def on_headers_complete(self) -> None:
            self._head_came()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self.meters.connections -= 1
            self._head_came()
            super().connection_lost(exc)

        def _await_head(self) -> None:
            self._head_timer = self.loop.call_later(settings.head_seconds, self._give_up_head)
            self._head_bytes = 0

        def _give_up_head(self) -> None:
            self.meters.turned_away[Bound.HEAD_SECONDS] += 1
            self.transport.close()

        def _head_came(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return BoundedProtocol


class _Lines(logging.Handler):
    """Has what the server says of itself among the gateway's own lines."""

    def __init__(self, log: Logger) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.error("server", message=record.getMessage())


class _Server(uvicorn.Server):
    """Tells when it listens, and ends with status 0 on SIGTERM and SIGINT, when requests are answered."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            sys.stdout.write(f"ready http://{f'[{host}]' if ':' in host else host}:{port}\n")
            sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True
        # Streams never end by themselves.
        AppStatus.should_exit = True


async def run_gateway(settings: GatewaySettings, log: Logger) -> None:
    """Serve until SIGTERM; prints one line ``ready URL`` when requests are accepted.

    Raises:
        ListenError: the address, or that of metrics, is taken, or is none.
        KeyFileError, KeyFolderError: keys of the worker or of tokens cannot be read.
        ValueError: the worker's endpoint is none.
    """
    # Its warnings are of clients that speak no HTTP: they are answered, and nothing to log.
    logging.getLogger("uvicorn").addHandler(_Lines(log))
    keys = _keys(settings)
    client = AsyncClient(settings.endpoint, retried=RETRIED, **keys)
    meters = Meters()
    link = Link(client, meters, log)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        bell = stack.enter_context(contextlib.closing(Bell(settings.events, **keys)))
        app = make_app(settings, link, bell, meters, log)
        if settings.metrics:
            await _export(stack, settings, meters, link, log)
        await _serve(_config(settings, app, meters), settings.listen)


async def _export(
    stack: contextlib.AsyncExitStack, settings: GatewaySettings, meters: Meters, link: Link, log: Logger
) -> None:
    """Serve metrics until ``stack`` ends."""
    # Here, not above: who does not want them pays nothing.
    from worker.exposition.exporter import exporter  # noqa: PLC0415 - as said
    from worker.exposition.http_server import AddressError  # noqa: PLC0415 - as said
    from worker.gateway.families import WatchedGateway  # noqa: PLC0415 - as said

    served = exporter(WatchedGateway(settings, meters, link), settings.metrics)
    try:
        log.info("metrics served", url=await stack.enter_async_context(served))
    except AddressError as error:
        raise ListenError(str(error)) from error


async def _serve(config: uvicorn.Config, listen: str) -> None:
    try:
        await _Server(config).serve()
    except SystemExit as error:
        # uvicorn's way to say that it cannot listen.
        raise ListenError(f"cannot listen on {listen}") from error


def _config(settings: GatewaySettings, app: ASGIApp, meters: Meters) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=bounded_protocol(settings, meters),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.drain_seconds,
        proxy_headers=False,
    )


def _keys(settings: GatewaySettings) -> dict[str, Any]:
    if not settings.key:
        return {}
    pair = read_key_pair(Path(settings.key))
    return {
        "server_key": read_public_key(Path(settings.server_key)),
        "public_key": pair.public,
        "secret_key": pair.secret,
    }
