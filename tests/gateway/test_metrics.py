"""Metrics of the gateway: what moves when, what is no label, and that the shipped dashboard, alerts and README fit."""

import concurrent.futures
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.errors import ErrorCode
from tests.shipped import CONFIG, queries
from worker.gateway.meters import Bound
from worker.gateway.settings import GatewaySettings

REPOSITORY = Path(__file__).parents[2]
P = "model_worker_gateway_"
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]
ENV = {"MODEL_WORKER_GATEWAY_METRICS": "127.0.0.1:0", "MODEL_WORKER_GATEWAY_MAX_CHANNELS": "1"}


def url_of(gateway: Any, path: str = "metrics") -> str:
    """An address that the gateway told in its log."""
    (url,) = [line["url"] for line in gateway.logged() if line["event"] == "metrics served"]
    return f"{url.removesuffix('metrics')}{path}"


def scrape(gateway: Any) -> Figures:
    response = httpx.get(url_of(gateway), timeout=30)
    assert response.status_code == 200, response.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def of(figures: Figures, name: str, **labels: str) -> float:
    """One value; a series that is not there yet counts as 0."""
    return figures.get((P + name, frozenset(labels.items())), 0.0)


@contextmanager
def moved(gateway: Any) -> Iterator[Callable[..., float]]:
    """``by(name, **labels)``, for use behind the block: how much a value moved within it."""
    before = scrape(gateway)
    after: Figures = {}

    def by(name: str, **labels: str) -> float:
        return of(after, name, **labels) - of(before, name, **labels)

    yield by
    after.update(scrape(gateway))


@pytest.fixture(scope="module")
def gateway(make_gateway: Any, daemon: Any) -> Any:
    return make_gateway(
        daemon.endpoint, arguments=("--listen", "127.0.0.1:0", "--events", daemon.events), env=ENV
    )


def add(api: Any, run_key: str, *arguments: int, name: str = "add") -> Any:
    return api.ask("POST", f"/run/operation/{run_key}", {"name": name, "arguments": list(arguments)})


def test_requests_are_counted_and_timed_by_endpoint_and_what_the_worker_answered(
    gateway: Any, api: Any
) -> None:
    run_key = api.create()
    with moved(gateway) as by:
        assert [add(api, run_key).status_code for _ in range(3)] == [200] * 3
        assert add(api, run_key, name="fail").status_code == 422
        assert api.ask("GET", f"/run/{run_key}", token=None).status_code == 401
        assert api.ask("GET", "/nothing/at/all").status_code == 404
    path = "/run/operation/{runKey}"
    assert by("requests_total", endpoint=path, method="POST", status="2xx") == 3
    assert by("requests_total", endpoint=path, method="POST", status="4xx") == 1
    assert by("requests_total", endpoint="/run/{runKey}", method="GET", status="4xx") == 1
    assert by("requests_total", endpoint="", method="GET", status="4xx") == 1
    assert by("request_duration_seconds_count", endpoint=path) == 4
    assert 0 < by("request_duration_seconds_sum", endpoint=path) < 60
    assert by("worker_requests_total", type="call_operation", code="OK") == 3
    assert by("worker_requests_total", type="call_operation", code="OPERATION_FAILED") == 1
    assert by("worker_request_duration_seconds_count", type="call_operation") == 4
    assert by("worker_request_duration_seconds_sum", type="call_operation") < by(
        "request_duration_seconds_sum", endpoint=path
    )
    assert by("requests_under_way") == by("internal_errors_total") == 0


def used(figures: Figures) -> tuple[float, float]:
    return of(figures, "requests_under_way"), of(figures, "limit_used", limit="max_requests")


def test_what_is_under_way_and_what_is_not_answered_in_time_show(
    gateway: Any, api: Any, connect_api: Any, wait_until: Any
) -> None:
    run_key = api.create()
    second = connect_api(gateway.url)
    with moved(gateway) as by, concurrent.futures.ThreadPoolExecutor(1) as pool:
        body = {"name": "nap", "arguments": [3]}
        waiting = pool.submit(second.ask, "POST", f"/run/operation/{run_key}", body, timeout="2")
        wait_until(lambda: used(scrape(gateway)) == (1, 1))
        assert waiting.result().json()["information"]["code"] == "DEADLINE_EXCEEDED"
    assert by("worker_requests_total", type="call_operation", code="DEADLINE_EXCEEDED") == 1


def test_streams_their_messages_and_those_turned_away_are_counted(
    gateway: Any, api: Any, connect_api: Any
) -> None:
    run_key = api.create()
    headers = {"Authorization": "Bearer dev"}
    path = f"{api.base}/run/{run_key}/channel"
    before = scrape(gateway)
    with connect_api(gateway.url).root.stream("GET", path, headers=headers) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("id:"))
        during = scrape(gateway)
        assert of(during, "channels") == of(during, "limit_used", limit="max_channels") == 1
        assert api.ask("GET", f"/run/{run_key}/channel").status_code == 503
        add(api, run_key)
        next(line for line in lines if line.startswith("data:"))
    after = scrape(gateway)
    assert of(after, "channel_messages_total") - of(before, "channel_messages_total") == 1
    assert of(after, "turned_away_total", bound="max_channels") == 1
    assert of(after, "request_duration_seconds_count", endpoint="/run/{runKey}/channel") == 0


@contextmanager
def dialled(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    connections = [socket.create_connection((host, port)) for _ in range(count)]
    try:
        yield connections
    finally:
        for one in connections:
            one.close()


def test_heads_that_are_too_large_or_never_end_are_counted(
    make_gateway: Any, daemon: Any, wait_until: Any
) -> None:
    bounds = {"HEAD_SECONDS": "0.2", "MAX_CONNECTIONS": "2"}
    gateway = make_gateway(
        daemon.endpoint, env={**ENV, **{f"MODEL_WORKER_GATEWAY_{name}": at for name, at in bounds.items()}}
    )
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as large:
        large.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + 70_000 * b"x")
        assert large.recv(100).startswith(b"HTTP/1.1 431")
    with socket.create_connection((host, int(port))) as silent:
        assert silent.recv(100) == b""
    with dialled(host, int(port), 3) as connections:
        assert connections[-1].recv(100).startswith(b"HTTP/1.1 503")
        wait_until(lambda: of(scrape(gateway), "turned_away_total", bound="head_seconds") >= 1)
    figures = scrape(gateway)
    assert of(figures, "turned_away_total", bound="head_bytes") == 1
    assert of(figures, "turned_away_total", bound="max_connections") == 1
    wait_until(lambda: of(scrape(gateway), "limit_used", limit="max_connections") == 0)


def test_nothing_of_callers_models_or_runs_becomes_a_label(gateway: Any, api: Any) -> None:
    run_key = api.create()

    def ask(word: str) -> None:
        add(api, run_key, name=f"{word}-operation")
        api.ask("GET", f"/run/{word}")
        api.ask("GET", f"/{word}/path")
        api.ask("GET", f"/run/variable/{run_key}/{word}", headers={"Idempotency-Key": word})
        api.ask("GET", f"/run/{run_key}", token=f"dev:LEADER:{word}:{word}")
        api.root.request(f"{word}".upper(), f"{api.base}/run/{run_key}")

    ask("w0rd")
    series = set(scrape(gateway))
    told = json.dumps(sorted((name, sorted(labels)) for name, labels in series))
    assert not re.search(f"(?i)w0rd|{run_key}|counter.py|acme|demo", told)
    ask("w0rd-other")
    assert set(scrape(gateway)) == series


def test_a_worker_that_is_lost_and_back_shows(
    make_daemon: Any, make_gateway: Any, models: Path, wait_until: Any, tmp_path: Path
) -> None:
    daemon = make_daemon(models, bind=(f"ipc://{tmp_path}/w",))
    gateway = make_gateway(daemon.endpoint, env=ENV)
    ready = url_of(gateway, "readyz")
    wait_until(lambda: httpx.get(ready).status_code == 200)
    assert of(scrape(gateway), "worker_reachable") == of(scrape(gateway), "worker_ready") == 1
    daemon.kill()
    wait_until(lambda: of(scrape(gateway), "worker_losses_total") == 1)
    figures = scrape(gateway)
    assert of(figures, "worker_reachable") == of(figures, "worker_ready") == 0
    assert of(figures, "worker_connection_losses_total") >= 1
    assert httpx.get(ready).text == "the worker does not answer\n"
    assert httpx.get(url_of(gateway, "livez")).status_code == 200
    daemon.start()
    wait_until(lambda: of(scrape(gateway), "worker_ready") == 1)
    assert of(scrape(gateway), "worker_losses_total") == 1


def test_a_port_in_use_is_refused_at_the_start_by_name(gateway: Any, daemon: Any) -> None:
    address = url_of(gateway, "").removeprefix("http://").removesuffix("/")
    command = [sys.executable, "-m", "worker.cli.main", "gateway", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, "--endpoint", daemon.endpoint],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        env={"PATH": "", "PYTHONPATH": str(REPOSITORY), "MODEL_WORKER_GATEWAY_METRICS": address},
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "for metrics" in done.stderr
    assert "setting metrics" in done.stderr


def test_by_default_one_address_is_listened_on_and_no_library_is_loaded(
    make_gateway: Any, daemon: Any
) -> None:
    gateway = make_gateway(daemon.endpoint)
    statuses = [one.status for one in psutil.Process(gateway.process.pid).net_connections("inet")]
    assert statuses.count(psutil.CONN_LISTEN) == 1
    loaded = (
        "import sys, worker.gateway.server; print([n for n in sys.modules if n.startswith('prometheus')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout == "[]\n"


# The shipped files


@pytest.fixture(scope="module")
def known(gateway: Any, api: Any) -> Figures:
    """All series of a gateway that was asked something."""
    add(api, api.create())
    return scrape(gateway)


def queried(text: str) -> set[str]:
    """Every series that a text of queries names."""
    return set(re.findall(rf"\b(?:{P}|process_)\w+", text))


def plain(names: set[str]) -> set[str]:
    """Names of metrics, of the names of their series."""
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


@pytest.mark.parametrize("name", ("grafana.json", "prometheus-alerts.yml"))
def test_every_series_and_label_that_a_shipped_file_queries_exists(known: Figures, name: str) -> None:
    text = queries(name, of_gateways=True)
    asked = queried(text)
    assert len(asked) > 3
    assert asked - {series for series, _ in known} == set()
    grouped = {word for group in re.findall(r"\bby \(([^)]*)\)", text) for word in group.split(", ")}
    chosen = set(re.findall(r"[{,](\w+)(?:=~|!=|=)\"", text))
    words = {label for _, labels in known for label, _ in labels} | {"job", "instance"}
    assert (grouped | chosen) - words == set()
    assert set(re.findall(r'\bcode!?="(\w+)', text)) <= {"OK", *map(str, ErrorCode)}


def test_the_dashboard_shows_every_metric(known: Figures) -> None:
    shown = plain(queried(queries("grafana.json", of_gateways=True)))
    assert plain({name for name, _ in known if name.startswith(P)}) - shown == set()


def test_the_readme_tells_of_every_metric_and_no_other(known: Figures) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    section = readme.partition("## Watching a gateway")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    told = {name for _, names, *_ in rows for name in re.findall(r"`(\w+)`", names)}
    assert {P + name for name in told} == plain({name for name, _ in known if name.startswith(P)})


def test_limits_and_bounds_are_settings_and_the_example_address_is_scraped(known: Figures) -> None:
    limits = {dict(labels)["limit"] for name, labels in known if name == f"{P}limit_used"}
    assert limits <= set(GatewaySettings.model_fields)
    assert {bound.value for bound in Bound} - {"head_bytes"} <= set(GatewaySettings.model_fields)
    assert 'targets: ["127.0.0.1:9465"]' in (CONFIG / "prometheus.yml").read_text()
    assert "127.0.0.1:9465" in (CONFIG / "gateway.toml").read_text()
