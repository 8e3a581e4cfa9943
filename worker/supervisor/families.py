"""What a worker is and did, as Prometheus has it. Imported only where metrics are on.

Names keep to Prometheus' conventions: base units, ``_total`` for what only grows. No label takes its values from
models, runs or callers.
"""

import itertools
import platform
from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from worker.metering import BOUNDS_SECONDS, Histogram
from worker.runs.stimuli import ProcessState
from worker.supervisor.figures import Figures

PREFIX: Final = "model_worker_"
_BOUNDS: Final = [*map(str, BOUNDS_SECONDS), "+Inf"]


def families(figures: Figures) -> Iterator[Metric]:
    """Every metric, in a fixed order."""
    yield from _worker(figures)
    yield from _runs(figures.status)
    yield from _limits(figures.status)
    yield from _happened(figures)
    yield from _log(figures)


def _worker(figures: Figures) -> Iterator[Metric]:
    status = figures.status
    build = {
        "version": str(status["version"]),
        "python": platform.python_version(),
        "sandbox": str(status["sandbox"]["level"]),
    }
    yield InfoMetricFamily(
        f"{PREFIX}build", "Version of the worker and its Python, level of its sandbox.", build
    )
    yield _gauge("draining", "Whether the worker ends and takes no new requests.", status["draining"])
    yield _gauge("loop_delay_seconds", "How long the loop let this scrape wait.", figures.delay_seconds)
    yield _gauge("zygotes", "Zygotes that live, retired ones included.", len(status["zygotes"]))
    yield _gauge("run_memory_bytes", "What the run processes hold.", status["memory"]["runs_bytes"])
    events = status["events"]
    yield _counter("events_published", "Events sent, while somebody had subscribed.", events["published"])
    yield _counter("events_dropped", "Events that the event socket did not take.", events["dropped"])
    functions = status["functions"]
    yield _gauge("function_calls", "Calls of external functions that a provider has.", functions["calls"])
    yield _gauge("function_calls_waiting", "Those that wait for a provider.", functions["waiting"])
    yield _gauge("event_subscriptions", "Different topics subscribed to.", events["subscriptions"])


def _runs(status: Mapping[str, Any]) -> Iterator[Metric]:
    runs = status["runs"]
    yield _gauge("runs_live", "Runs in memory and usable.", runs["live"])
    yield _gauge("runs_restoring", "Runs that come into memory.", runs["restoring"])
    yield _gauge("runs_ephemeral", "Runs that are kept in memory only.", runs["ephemeral"])
    if runs["stored"] is not None:
        yield _gauge("runs_stored", "Runs in the log.", runs["stored"])
        yield _gauge("runs_archived", "Those of them that are not in memory.", runs["archived"])
    by_state = {(state.value,): runs["states"].get(state.value, 0) for state in ProcessState}
    yield _gauges("runs", "Runs in memory, by what their process does.", ("state",), by_state)
    waiting = {(what,): runs[f"waiting_for_{what}"] for what in ("replay", "boot", "room")}
    yield _gauges("starts_waiting", "Runs that wait for a place to come up in.", ("place",), waiting)
    yield _gauge("requests_under_way", "Requests taken and not yet answered.", status["requests"])
    yield _gauge("requests_queued", "Requests that wait for their turn at a run.", runs["queued_requests"])
    projects = {(name,): project["live"] for name, project in status["projects"].items()}
    yield _gauges("project_runs", "Runs in memory, by project.", ("project",), projects)
    allowed = {(name,): project["limit"] for name, project in status["projects"].items()}
    yield _gauges("project_run_limit", "Runs of a project that may be in memory.", ("project",), allowed)


def _limits(status: Mapping[str, Any]) -> Iterator[Metric]:
    shared = {name: limit for name, limit in status["limits"].items() if "used" in limit}
    for part, text in (("used", "What is in use"), ("allowed", "How much there may be")):
        values = {(name,): limit[part] for name, limit in shared.items()}
        yield _gauges(f"limit_{part}", f"{text}, by the setting that is the limit.", ("limit",), values)


def _happened(figures: Figures) -> Iterator[Metric]:
    tallies = figures.tallies
    refused = {("", code): count for code, count in figures.refused.items()}
    yield _counters(
        "requests",
        'Replies, by type of the request ("": it was none) and code ("OK": no error).',
        ("type", "code"),
        {**tallies.replies, **refused},
    )
    yield _histograms(
        "request_duration_seconds", "From a request's arrival to its reply.", "type", tallies.requests
    )
    yield _histograms(
        "run_start_duration_seconds",
        "From when a run is wanted in memory until it is usable, by why.",
        "origin",
        tallies.starts,
    )
    yield _counters(
        "run_evictions", "Runs taken out of memory, by reason.", ("reason",), _keyed(tallies.evictions)
    )
    yield _counters(
        "run_losses",
        'Run processes ended by a failure, by code, limit ("": none) and phase of the run.',
        ("code", "limit", "phase"),
        tallies.losses,
    )
    yield _counter("replayed_actions", "Actions that replays have applied.", tallies.replayed_actions)
    yield _counter("replay_seconds", "What these replays took, added up.", tallies.replay_seconds)
    yield _histogram(
        "append_duration_seconds",
        "From handing an append to the log until it is known durable.",
        tallies.appends,
    )


def _log(figures: Figures) -> Iterator[Metric]:
    log = figures.status["log"]
    if figures.commits is not None:
        text = "What one group of writes took to become durable: SQL and fsync."
        yield _histogram("commit_duration_seconds", text, figures.commits)
    yield _gauge("log_pending_writes", "Writes handed to the log and not yet durable.", log["pending_writes"])
    yield _gauge("log_outage", "Whether disk or database refuse writes.", "outage" in log)
    failed = log.get("outage", {}).get("count", 0)
    yield _gauge("log_outage_failed_writes", "Writes that this outage has failed.", failed)
    unread = log.get("read_failures", {}).get("count", 0)
    yield _counter("log_read_failures", "Reads of the log that disk or database refused.", unread)
    for name, count in (figures.disk or {}).items():
        yield _gauge(name, _DISK[name], count)


_DISK: Final = {
    "data_free_bytes": "Free space of the file system of the data folder, for ordinary users.",
    "data_size_bytes": "Size of the file system of the data folder.",
    "log_size_bytes": "Files of the log.",
}


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value)


def _gauges(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for words, value in values.items():
        family.add_metric(words, value)
    return family


def _counters(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for words, value in values.items():
        family.add_metric(words, value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(PREFIX + name, text, _buckets(histogram), histogram.total_seconds)


def _histograms(name: str, text: str, label: str, histograms: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=(label,))
    for word, histogram in histograms.items():
        family.add_metric((word,), _buckets(histogram), histogram.total_seconds)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Upper ends and how many were not above them."""
    return list(zip(_BOUNDS, itertools.accumulate(histogram.counts), strict=True))


def _keyed(counts: Mapping[str, int]) -> dict[tuple[str], int]:
    return {(word,): count for word, count in counts.items()}
