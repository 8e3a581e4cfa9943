"""What a worker is and did, as Prometheus has it. Imported only where metrics are on.

No label takes its values from models, runs or callers.
"""

import platform
from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import Metric

from worker.exposition.families import Families
from worker.runs.stimuli import ProcessState
from worker.supervisor.figures import Figures

_NAMED: Final = Families("model_worker_")


def families(figures: Figures) -> Iterator[Metric]:
    """Every metric, in a fixed order."""
    yield from _worker(figures)
    yield from _runs(figures.status)
    yield from _deliveries(figures.status["deliveries"])
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
    yield _NAMED.info("build", "Version of the worker and its Python, level of its sandbox.", build)
    yield _NAMED.gauge("draining", "Whether the worker ends and takes no new requests.", status["draining"])
    yield _NAMED.gauge("loop_delay_seconds", "How long the loop let this scrape wait.", figures.delay_seconds)
    yield _NAMED.gauge("zygotes", "Zygotes that live, retired ones included.", len(status["zygotes"]))
    yield _NAMED.gauge("run_memory_bytes", "What the run processes hold.", status["memory"]["runs_bytes"])
    events = status["events"]
    yield _NAMED.counter(
        "events_published", "Events sent, while somebody had subscribed.", events["published"]
    )
    yield _NAMED.counter("events_dropped", "Events that the event socket did not take.", events["dropped"])
    functions = status["functions"]
    yield _NAMED.gauge(
        "function_calls", "Calls of external functions that a provider has.", functions["calls"]
    )
    yield _NAMED.gauge("function_calls_waiting", "Those that wait for a provider.", functions["waiting"])
    yield _NAMED.gauge("event_subscriptions", "Different topics subscribed to.", events["subscriptions"])


def _deliveries(deliveries: Mapping[str, Any]) -> Iterator[Metric]:
    yield _NAMED.counter("deliveries", "Statuses that their targets were told of.", deliveries["delivered"])
    yield _NAMED.counter(
        "delivery_retries", "Attempts that failed and are made again.", deliveries["retried"]
    )
    yield _NAMED.counter("deliveries_dead", "Deliveries given up.", deliveries["dead"])
    if deliveries["backlog"] is not None:
        text = "Deliveries that are still to be made."
        yield _NAMED.gauge("delivery_backlog", text, deliveries["backlog"])
        text = "Those given up that nobody has redelivered."
        yield _NAMED.gauge("delivery_dead_letters", text, deliveries["dead_letters"])


def _runs(status: Mapping[str, Any]) -> Iterator[Metric]:
    runs = status["runs"]
    yield _NAMED.gauge("runs_live", "Runs in memory and usable.", runs["live"])
    yield _NAMED.gauge("runs_restoring", "Runs that come into memory.", runs["restoring"])
    yield _NAMED.gauge("runs_ephemeral", "Runs that are kept in memory only.", runs["ephemeral"])
    if runs["stored"] is not None:
        yield _NAMED.gauge("runs_stored", "Runs in the log.", runs["stored"])
        yield _NAMED.gauge("runs_archived", "Those of them that are not in memory.", runs["archived"])
    by_state = {(state.value,): runs["states"].get(state.value, 0) for state in ProcessState}
    yield _NAMED.gauges("runs", "Runs in memory, by what their process does.", ("state",), by_state)
    waiting = {(what,): runs[f"waiting_for_{what}"] for what in ("replay", "boot", "room")}
    yield _NAMED.gauges("starts_waiting", "Runs that wait for a place to come up in.", ("place",), waiting)
    yield _NAMED.gauge("requests_under_way", "Requests taken and not yet answered.", status["requests"])
    yield _NAMED.gauge(
        "requests_queued", "Requests that wait for their turn at a run.", runs["queued_requests"]
    )
    projects = {(name,): project["live"] for name, project in status["projects"].items()}
    yield _NAMED.gauges("project_runs", "Runs in memory, by project.", ("project",), projects)
    allowed = {(name,): project["limit"] for name, project in status["projects"].items()}
    yield _NAMED.gauges(
        "project_run_limit", "Runs of a project that may be in memory.", ("project",), allowed
    )


def _limits(status: Mapping[str, Any]) -> Iterator[Metric]:
    shared = {name: limit for name, limit in status["limits"].items() if "used" in limit}
    for part, text in (("used", "What is in use"), ("allowed", "How much there may be")):
        values = {(name,): limit[part] for name, limit in shared.items()}
        yield _NAMED.gauges(f"limit_{part}", f"{text}, by the setting that is the limit.", ("limit",), values)


def _happened(figures: Figures) -> Iterator[Metric]:
    tallies = figures.tallies
    refused = {("", code): count for code, count in figures.refused.items()}
    yield _NAMED.counters(
        "requests",
        'Replies, by type of the request ("": it was none) and code ("OK": no error).',
        ("type", "code"),
        {**tallies.replies, **refused},
    )
    yield _NAMED.histograms(
        "request_duration_seconds", "From a request's arrival to its reply.", "type", tallies.requests
    )
    yield _NAMED.histograms(
        "run_start_duration_seconds",
        "From when a run is wanted in memory until it is usable, by why.",
        "origin",
        tallies.starts,
    )
    yield _NAMED.counters(
        "run_evictions", "Runs taken out of memory, by reason.", ("reason",), _keyed(tallies.evictions)
    )
    yield _NAMED.counters(
        "run_losses",
        'Run processes ended by a failure, by code, limit ("": none) and phase of the run.',
        ("code", "limit", "phase"),
        tallies.losses,
    )
    yield _NAMED.counter("replayed_actions", "Actions that replays have applied.", tallies.replayed_actions)
    yield _NAMED.counter("replay_seconds", "What these replays took, added up.", tallies.replay_seconds)
    yield _NAMED.histogram(
        "append_duration_seconds",
        "From handing an append to the log until it is known durable.",
        tallies.appends,
    )


def _log(figures: Figures) -> Iterator[Metric]:
    log = figures.status["log"]
    if figures.commits is not None:
        text = "What one group of writes took to become durable: SQL and fsync."
        yield _NAMED.histogram("commit_duration_seconds", text, figures.commits)
    yield _NAMED.gauge(
        "log_pending_writes", "Writes handed to the log and not yet durable.", log["pending_writes"]
    )
    yield _NAMED.gauge("log_outage", "Whether disk or database refuse writes.", "outage" in log)
    failed = log.get("outage", {}).get("count", 0)
    yield _NAMED.gauge("log_outage_failed_writes", "Writes that this outage has failed.", failed)
    unread = log.get("read_failures", {}).get("count", 0)
    yield _NAMED.counter("log_read_failures", "Reads of the log that disk or database refused.", unread)
    for name, count in (figures.disk or {}).items():
        yield _NAMED.gauge(name, _DISK[name], count)


_DISK: Final = {
    "data_free_bytes": "Free space of the file system of the data folder, for ordinary users.",
    "data_size_bytes": "Size of the file system of the data folder.",
    "log_size_bytes": "Files of the log.",
}


def _keyed(counts: Mapping[str, int]) -> dict[tuple[str], int]:
    return {(word,): count for word, count in counts.items()}
