"""What a gateway is and did, as Prometheus has it. Imported only where metrics are on.

No label takes its values from callers, models or runs.
"""

import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import Metric

from worker import VERSION
from worker.exposition.exporter import Ask
from worker.exposition.families import Families
from worker.gateway.link import Link
from worker.gateway.meters import Bound, Meters
from worker.gateway.settings import GatewaySettings
from worker.metering import Histogram

_NAMED: Final = Families("model_worker_gateway_")


@dataclass(frozen=True, slots=True)
class WatchedGateway:
    """A gateway, as it shows itself."""

    settings: GatewaySettings
    meters: Meters
    link: Link

    def scrape(self, ask: Ask) -> Iterable[Metric]:
        """All metrics, as of one moment of the loop; in a fixed order."""
        return ask(self._gather(time.monotonic()))

    async def hindrance(self) -> str:
        """Why the gateway shall get no requests now."""
        if not self.link.reachable:
            return "the worker does not answer"
        return "" if self.link.ready else "the worker is draining"

    async def _gather(self, asked_at: float) -> list[Metric]:
        delay_seconds = time.monotonic() - asked_at
        return [
            *self._gateway(delay_seconds),
            *self._requests(),
            *self._bounds(),
            *self._worker(),
        ]

    def _gateway(self, delay_seconds: float) -> Iterator[Metric]:
        build = {"version": VERSION, "python": platform.python_version(), "auth": self.settings.auth}
        yield _NAMED.info("build", "Version of the gateway and its Python, and who may ask.", build)
        yield _NAMED.gauge(
            "loop_delay_seconds", "How long the loop let this scrape wait.", round(delay_seconds, 6)
        )
        yield _NAMED.gauge("channels", "Streams of events that are open.", self.meters.channels)
        yield _NAMED.counter("channel_messages", "Messages sent on streams.", self.meters.channel_messages)

    def _requests(self) -> Iterator[Metric]:
        meters = self.meters
        yield _NAMED.counters(
            "requests",
            'HTTP requests answered, by path of the endpoint ("": none of the API), method and class of the status.',
            ("endpoint", "method", "status"),
            dict(meters.requests),
        )
        yield _NAMED.histograms(
            "request_duration_seconds",
            "From a request's head to the end of its answer; streams are left out.",
            "endpoint",
            _copied(meters.durations),
        )
        yield _NAMED.gauge("requests_under_way", "HTTP requests and streams being served.", meters.under_way)
        yield _NAMED.counter("internal_errors", "Requests answered 500 by a bug; must be 0.", meters.bugs)

    def _bounds(self) -> Iterator[Metric]:
        meters, settings = self.meters, self.settings
        away = {(bound.value,): meters.turned_away[bound] for bound in Bound}
        yield _NAMED.counters("turned_away", "Who was turned away or cut, by the bound.", ("bound",), away)
        used: dict[tuple[str], Any] = {
            ("max_requests",): meters.under_way,
            ("max_connections",): meters.connections,
            ("max_channels",): meters.channels,
        }
        allowed = {(name,): getattr(settings, name) for (name,) in used}
        yield _NAMED.gauges(
            "limit_used", "What is in use, by the setting that is the limit.", ("limit",), used
        )
        yield _NAMED.gauges("limit_allowed", "How much there may be, by the setting.", ("limit",), allowed)

    def _worker(self) -> Iterator[Metric]:
        meters = self.meters
        yield _NAMED.gauge("worker_reachable", "Whether the worker answers pings.", self.link.reachable)
        yield _NAMED.gauge("worker_ready", "Whether it takes new runs, too.", self.link.ready)
        yield _NAMED.counter("worker_losses", "How often it stopped answering.", meters.worker_losses)
        yield _NAMED.counter(
            "worker_connection_losses", "How often the connection ended.", self.link.connection_losses
        )
        yield _NAMED.counter(
            "worker_requests_repeated", "How often a request was sent again.", self.link.repetitions
        )
        yield _NAMED.counters(
            "worker_requests",
            'Requests to the worker, by type and code ("OK": no error; DEADLINE_EXCEEDED: no answer in time).',
            ("type", "code"),
            dict(meters.asked),
        )
        yield _NAMED.histograms(
            "worker_request_duration_seconds",
            "From asking the worker to its reply.",
            "type",
            _copied(meters.ask_durations),
        )


def _copied(histograms: Mapping[str, Histogram]) -> dict[str, Histogram]:
    return {word: histogram.copy() for word, histogram in histograms.items()}
