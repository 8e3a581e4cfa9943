"""Metrics and health over HTTP, from threads of its own.

A thread asks the loop for the figures and writes them out by itself. Where the loop does not answer in time, the
answer is 503: that is what such a probe is for.
"""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, Final, Protocol, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.registry import Collector

from worker.exposition.http_server import App, StartResponse, serving
from worker.settings import host_and_port

T = TypeVar("T")
LOOP_SECONDS: Final = 5.0
"""How long the loop may take to answer a probe or a scrape."""


class Ask:
    """Has the loop do something, from another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, within_seconds: float) -> None:
        self._loop = loop
        self._within_seconds = within_seconds

    def __call__(self, what: "Coroutine[Any, Any, T]") -> T:
        """What came of it.

        Raises:
            TimeoutError: the loop does not answer, or has ended.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(what, self._loop)
        except RuntimeError:  # it is closed
            what.close()
            raise TimeoutError from None
        try:
            return future.result(self._within_seconds)
        except concurrent.futures.CancelledError:
            raise TimeoutError from None
        finally:
            future.cancel()


class Watched(Protocol):
    """A daemon, as it shows itself."""

    def scrape(self, ask: Ask) -> Iterable[Metric]:
        """All metrics, anew; called by a thread, which asks the loop for what only that may read.

        Raises:
            TimeoutError: the loop does not answer.
        """

    async def hindrance(self) -> str:
        """Why it shall get no requests now; empty where it shall."""


class _Scrape(Collector):
    """Gathers everything anew whenever it is asked."""

    def __init__(self, watched: Watched, ask: Ask) -> None:
        self._watched = watched
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        """All metrics. Raises: as ``Watched.scrape``."""
        return list(self._watched.scrape(self._ask))


def _application(watched: Watched, loop_seconds: float) -> App:
    ask = Ask(asyncio.get_running_loop(), loop_seconds)
    registry = CollectorRegistry()
    registry.register(_Scrape(watched, ask))
    ProcessCollector(registry=registry)
    metrics: App = make_wsgi_app(registry)

    def ready() -> str:
        hindrance = ask(watched.hindrance())
        return f"503 Service Unavailable: {hindrance}" if hindrance else "200 OK: ready"

    def live() -> str:
        ask(asyncio.sleep(0))
        return "200 OK: alive"

    probes = {"/livez": live, "/readyz": ready}

    def app(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        try:
            if path == "/metrics":
                return metrics(environ, start)
            if path in probes and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
                return _plain(probes[path](), start)
        except TimeoutError:
            return _plain("503 Service Unavailable: the loop does not answer", start)
        if path in probes:
            return _plain("405 Method Not Allowed: use GET", start)
        return _plain("404 Not Found: there are /metrics, /livez and /readyz", start)

    return app


def _plain(answer: str, start: StartResponse) -> Iterable[bytes]:
    """``answer``: the status line, a colon, the text."""
    status, _, text = answer.partition(": ")
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [f"{text}\n".encode()]


@contextlib.asynccontextmanager
async def exporter(
    watched: Watched, address: str, *, loop_seconds: float = LOOP_SECONDS
) -> AsyncIterator[str]:
    """Serve ``/metrics``, ``/livez`` and ``/readyz`` while inside; gives the URL of the first.

    ``address`` is HOST:PORT. Where the loop does not answer within ``loop_seconds``, the answer is 503.

    Raises:
        AddressError: the address cannot be had.
    """
    host, port = host_and_port(address)
    async with serving(_application(watched, loop_seconds), host, port) as bound:
        yield f"http://{bound}/metrics"
