"""What a worker shows of itself to who watches it. Imported only where metrics are on."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from prometheus_client.core import Metric

from worker.exposition.exporter import LOOP_SECONDS, Ask
from worker.exposition.exporter import exporter as exposed
from worker.exposition.http_server import AddressError
from worker.supervisor.families import families
from worker.supervisor.figures import Sources
from worker.supervisor.router import BindError


@dataclass(frozen=True, slots=True)
class _Worker:
    """A scrape takes the loop as long as a ``worker_status``."""

    sources: Sources

    def scrape(self, ask: Ask) -> Iterable[Metric]:
        """All metrics; the disk is looked at by this thread."""
        disk = self.sources.disk()
        return families(ask(self.sources.gather(time.monotonic(), disk)))

    async def hindrance(self) -> str:
        """As the sources say."""
        return await self.sources.hindrance()


@contextlib.asynccontextmanager
async def exporter(sources: Sources, *, loop_seconds: float = LOOP_SECONDS) -> AsyncIterator[str]:
    """Serve the worker's metrics and health while inside; gives the URL of the metrics.

    Raises:
        BindError: the address cannot be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        served = exposed(_Worker(sources), sources.settings.metrics, loop_seconds=loop_seconds)
        try:
            url = await stack.enter_async_context(served)
        except AddressError as error:
            raise BindError(str(error)) from error
        yield url
