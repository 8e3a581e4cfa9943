"""Metrics and health over HTTP: what moves when, who may listen where, and that the shipped dashboard fits."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.errors import ErrorCode
from tests.shipped import queries
from worker.exposition.http_server import CONNECTIONS
from worker.settings import Settings

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "config"
COMMAND = (sys.executable, "-m", "worker.cli.main", "serve")
P = "model_worker_"
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]
SPINNER = """
def spin():
    while True:
        pass
"""


def url_of(daemon: Any, path: str = "metrics") -> str:
    """An address that the worker told when it was ready."""
    ready = next(json.loads(line) for line in daemon.logged().splitlines() if '"worker ready"' in line)
    return f"{ready['metrics'].removesuffix('metrics')}{path}"


def fetch(url: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def scrape(daemon: Any) -> Figures:
    status, text = fetch(url_of(daemon))
    assert status == 200, text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(figures: Figures, name: str, **labels: str) -> float:
    """One value; a series that is not there yet counts as 0."""
    return figures.get((P + name, frozenset(labels.items())), 0.0)


@contextlib.contextmanager
def moved(daemon: Any) -> Iterator[Callable[..., float]]:
    """``by(name, **labels)``, for use behind the block: how much a value moved within it."""
    before = scrape(daemon)
    after: Figures = {}

    def by(name: str, **labels: str) -> float:
        return of(after, name, **labels) - of(before, name, **labels)

    yield by
    after.update(scrape(daemon))


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, counter_model: str) -> Any:
    model_root.add("spinner", SPINNER)
    model_root.add("broken", "raise ValueError('no')\n")
    env = {"MODEL_WORKER_METRICS": "127.0.0.1:0", "MODEL_WORKER_ACTION_CPU_SECONDS": "0.2"}
    return make_daemon(model_root.path, env=env)


@pytest.fixture
def run_key(peer: Any, counter_model: str) -> str:
    key: str = peer.result("create_run", model_file=counter_model)["run_key"]
    return key


def test_a_create_and_its_calls_are_counted_timed_and_told_by_type(
    daemon: Any, peer: Any, counter_model: str
) -> None:
    with moved(daemon) as by:
        key = peer.result("create_run", model_file=counter_model)["run_key"]
        for _ in range(5):
            peer.result("call_operation", run_key=key, name="add", arguments=[1])
        peer.result("read_variables", run_key=key, names=["counter"])
    assert by("requests_total", type="create_run", code="OK") == 1
    assert by("requests_total", type="call_operation", code="OK") == 5
    assert by("request_duration_seconds_count", type="call_operation") == 5
    assert by("request_duration_seconds_bucket", type="call_operation", le="+Inf") == 5
    assert 0 < by("request_duration_seconds_sum", type="call_operation") < 60
    assert by("requests_total", type="read_variables", code="OK") == 1
    assert by("run_start_duration_seconds_count", origin="create") == 1
    assert by("append_duration_seconds_count") == 6  # with that of the boot
    assert by("commit_duration_seconds_count") >= 6
    assert by("runs_live") == by("runs", state="idle") == by("limit_used", limit="live_run_limit") == 1
    assert by("runs_stored") == 1
    assert by("runs_archived") == 0
    assert by("run_memory_bytes") > 0


def test_an_eviction_is_counted_by_its_reason_and_a_restore_with_the_actions_it_replays(
    daemon: Any, peer: Any, run_key: str
) -> None:
    for _ in range(3):
        peer.result("call_operation", run_key=run_key, name="add", arguments=[1])
    with moved(daemon) as by:
        peer.result("evict_run", run_key=run_key)
    assert by("run_evictions_total", reason="request") == 1
    assert by("runs_archived") == 1
    assert by("runs_live") == -1
    with moved(daemon) as by:
        peer.result("restore_run", run_key=run_key)
    assert by("run_start_duration_seconds_count", origin="restore") == 1
    assert by("replayed_actions_total") == 3
    assert by("replay_seconds_total") > 0
    assert by("runs_archived") == -1
    with moved(daemon) as by:
        peer.result("rewind_run", run_key=run_key, rewind_count=1)
    assert by("run_start_duration_seconds_count", origin="rewind") == 1
    assert by("run_evictions_total", reason="rewind") == 1


def test_an_operation_that_raises_is_a_reply_with_its_code_and_loses_no_run(
    daemon: Any, peer: Any, run_key: str
) -> None:
    with moved(daemon) as by:
        code = peer.error("call_operation", run_key=run_key, name="fail")["code"]
    assert by("requests_total", type="call_operation", code=code) == 1
    assert by("append_duration_seconds_count") == 1
    assert by("runs_live") == 0


@pytest.mark.parametrize(
    ("operation", "code", "limit"),
    (
        ("counter.die", "PROCESS_EXITED", ""),
        ("counter.hang", "OPERATION_TIMEOUT", ""),
        ("spinner.spin", "LIMIT_EXCEEDED", "action_cpu_seconds"),
    ),
)
def test_a_run_process_that_ends_is_a_loss_by_code_and_limit(
    daemon: Any, peer: Any, operation: str, code: str, limit: str
) -> None:
    model, _, name = operation.partition(".")
    key = peer.result("create_run", model_file=f"{model}/model.py")["run_key"]
    with moved(daemon) as by:
        assert peer.error("call_operation", run_key=key, name=name)["code"] == code
        peer.result("restore_run", run_key=key)
    assert by("run_losses_total", code=code, limit=limit, phase="live") == 1
    assert by("requests_total", type="call_operation", code=code) == 1
    assert by("run_start_duration_seconds_count", origin="restore") == 1


def test_a_model_that_does_not_load_is_a_loss_while_starting_and_no_start(daemon: Any, peer: Any) -> None:
    with moved(daemon) as by:
        assert peer.error("create_run", model_file="broken/model.py")["code"] == "MODEL_LOAD_FAILED"
    assert by("run_losses_total", code="MODEL_LOAD_FAILED", limit="", phase="starting") == 1
    assert by("run_start_duration_seconds_count", origin="create") == 0
    assert by("runs_stored") == 0


def test_what_is_no_request_is_counted_without_a_type(daemon: Any, peer: Any) -> None:
    with moved(daemon) as by:
        peer.send_body(b"\xc1")
        code = peer.receive()["error"]["code"]
    assert by("requests_total", type="", code=code) == 1


def test_a_deadline_that_passes_is_counted_when_it_is_answered(daemon: Any, peer: Any, run_key: str) -> None:
    with moved(daemon) as by:
        peer.error("call_operation", run_key=run_key, name="nap", arguments=[0.5], deadline_seconds=0.05)
    assert by("requests_total", type="call_operation", code="DEADLINE_EXCEEDED") == 1


def test_nothing_of_runs_models_or_callers_becomes_a_label(
    daemon: Any, peer: Any, counter_model: str, run_key: str
) -> None:
    words = [
        "w0rd-operation",
        "w0rd-variable",
        "w0rd-model/model.py",
        "w0rd-request",
        "w0rd/project",
        "w0rd-role",
    ]
    operation, variable, model_file, request_id, project, role = words
    peer.error("call_operation", run_key=run_key, name=operation, actor={"world_role": role})
    peer.error("read_variables", run_key=run_key, names=[variable], request_id=request_id)
    peer.error("create_run", model_file=model_file)
    peer.error("get_run", run_key=run_key, project=project)
    peer.error("w0rd-type", run_key=run_key)
    series = set(scrape(daemon))
    told = json.dumps(sorted((name, sorted(labels)) for name, labels in series))
    assert not re.search(f"w0rd|{run_key}|{counter_model}", told)
    peer.error("call_operation", run_key=run_key, name="w0rd-other", actor={"world_role": "w0rd-another"})
    assert set(scrape(daemon)) == series


def test_scrapes_under_load_never_fail_and_counters_never_fall(daemon: Any, counter_model: str) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with daemon.client() as client:
                while not stop.is_set():
                    key = client.create_run(counter_model).run_key
                    for _ in range(10):
                        client.call_operation(key, "add", [1])
                    client.evict_run(key)
                    client.restore_run(key)
                    client.evict_run(key)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        last: Figures = {}
        for _ in range(60):
            now = scrape(daemon)
            growing = {key for key in last if key[0].endswith(("_total", "_bucket", "_count"))}
            assert [key for key in growing if now[key] < last[key]] == []
            last = now
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert of(last, "replayed_actions_total") > 0


def test_those_who_connect_and_say_nothing_keep_out_others_but_not_the_worker_nor_its_end(
    make_daemon: Any, model_root: Any, counter_model: str, wait_until: Any
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_METRICS": "127.0.0.1:0"})
    address = ("127.0.0.1", int(url_of(daemon, "").strip("/").rpartition(":")[2]))
    with contextlib.ExitStack() as silent:
        for _ in range(CONNECTIONS):
            silent.enter_context(socket.create_connection(address))
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            fetch(url_of(daemon, "livez"))
        with daemon.client() as client:
            client.call_operation(client.create_run(counter_model).run_key, "add")
    wait_until(lambda: alive(daemon))
    with contextlib.ExitStack() as silent:
        for _ in range(CONNECTIONS):
            silent.enter_context(socket.create_connection(address))
        assert daemon.stop() == 0


def alive(daemon: Any) -> bool:
    """Whether a probe is answered, and not turned away."""
    try:
        return fetch(url_of(daemon, "livez")) == (200, "alive\n")
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.parametrize(
    ("path", "method", "status"),
    (
        ("livez", "GET", 200),
        ("readyz", "GET", 200),
        ("", "GET", 404),
        ("livez", "POST", 405),
        ("metrics", "PUT", 405),
    ),
)
def test_there_are_three_paths_to_read(daemon: Any, path: str, method: str, status: int) -> None:
    assert fetch(url_of(daemon, path), method)[0] == status


def test_a_worker_that_drains_is_alive_and_not_ready(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any], wait_until: Any
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_METRICS": "[::1]:0"})
    peer = connect(daemon.endpoint)
    key = peer.result("create_run", model_file=counter_model)["run_key"]
    assert fetch(url_of(daemon, "readyz")) == (200, "ready\n")
    peer.send("call_operation", run_key=key, name="nap", arguments=[2])
    wait_until(lambda: of(scrape(daemon), "runs", state="busy") == 1)
    daemon.process.terminate()
    wait_until(lambda: of(scrape(daemon), "draining") == 1)
    assert fetch(url_of(daemon, "readyz")) == (503, "the worker is draining\n")
    assert fetch(url_of(daemon, "livez")) == (200, "alive\n")
    assert peer.receive()["ok"]
    assert daemon.process.wait(30) == 0
    with pytest.raises(urllib.error.URLError):
        fetch(url_of(daemon, "livez"))


def refused(tmp_path: Path, model_root: Any, **env: str) -> str:
    """What a worker says that does not start."""
    arguments = ["--models", str(model_root.path), "--data", str(tmp_path / "data")]
    endpoints = ["--bind", f"ipc://{tmp_path}/s", "--events", ""]
    ended = subprocess.run(
        [*COMMAND, *arguments, *endpoints],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
        check=False,
    )
    assert ended.returncode == 1
    assert "ready" not in ended.stdout
    return ended.stderr.splitlines()[-1]


def test_a_port_in_use_is_refused_at_the_start_by_name(daemon: Any, tmp_path: Path, model_root: Any) -> None:
    address = url_of(daemon, "").removeprefix("http://").removesuffix("/")
    message = refused(tmp_path, model_root, MODEL_WORKER_METRICS=address)
    assert message.startswith(
        f"model-worker: cannot bind 127.0.0.1 port {address.split(':')[1]} for metrics: "
    )
    assert "setting metrics" in message
    assert psutil.Process().children(recursive=True) != []  # this module's daemon goes on
    assert fetch(url_of(daemon, "readyz"))[0] == 200


def test_an_address_for_others_needs_a_word_that_allows_it(
    tmp_path: Path, model_root: Any, make_daemon: Any
) -> None:
    message = refused(tmp_path, model_root, MODEL_WORKER_METRICS="0.0.0.0:0")
    assert "setting metrics (MODEL_WORKER_METRICS): " in message
    assert "metrics_open = true" in message
    env = {"MODEL_WORKER_METRICS": "0.0.0.0:0", "MODEL_WORKER_METRICS_OPEN": "true"}
    assert fetch(url_of(make_daemon(model_root.path, env=env), "livez")) == (200, "alive\n")


def test_by_default_nothing_listens_and_no_library_is_loaded(make_daemon: Any, model_root: Any) -> None:
    daemon = make_daemon(model_root.path)
    assert psutil.Process(daemon.pid).net_connections("inet") == []
    loaded = "import sys, worker.cli.serve; print([n for n in sys.modules if n.startswith('prometheus')])"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout == "[]\n"


# The shipped files


def queried(text: str) -> set[str]:
    """Every series that a text of queries names."""
    return set(re.findall(r"\b(?:model_worker|process)_\w+", text))


@pytest.fixture(scope="module")
def known(daemon: Any, peer: Any, counter_model: str) -> Figures:
    """All series of a worker that did some work, lost a run, evicted one and brought it back."""
    key = peer.result("create_run", model_file=counter_model)["run_key"]
    peer.result("call_operation", run_key=key, name="add")
    peer.error("call_operation", run_key=key, name="die")
    peer.result("restore_run", run_key=key)
    peer.result("evict_run", run_key=key)
    return scrape(daemon)


@pytest.mark.parametrize("name", ("grafana.json", "prometheus-alerts.yml"))
def test_every_series_that_a_shipped_file_queries_exists(known: Figures, name: str) -> None:
    asked = queried(queries(name, of_gateways=False))
    assert len(asked) > 5
    assert asked - {series for series, _ in known} == set()


def test_the_dashboard_shows_every_metric(known: Figures) -> None:
    board = queries("grafana.json", of_gateways=False)
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in queried(board)}
    there = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in known if name.startswith(P)}
    assert there - shown == set()


def test_labels_in_shipped_queries_exist(known: Figures) -> None:
    words = {label for _, labels in known for label, _ in labels} | {"job", "instance"}
    for name in ("grafana.json", "prometheus-alerts.yml"):
        text = queries(name, of_gateways=False)
        grouped = {word for group in re.findall(r"\bby \(([^)]*)\)", text) for word in group.split(", ")}
        chosen = set(re.findall(r"[{,](\w+)(?:=~|!=|=)\\?\"", text))
        assert grouped | chosen, name
        assert (grouped | chosen) - words == set(), name
        codes = set(re.findall(r'code(?:=|!=)\\?"(\w+)', text))
        assert codes <= {"OK", *map(str, ErrorCode)}
        limits = set(re.findall(r'limit=\\?"(\w+)', text))
        assert limits <= set(Settings.model_fields)


def test_the_dashboard_is_one_that_grafana_takes(known: Figures) -> None:
    board = json.loads((CONFIG / "grafana.json").read_text())
    assert board["schemaVersion"] >= 36
    assert board["uid"]
    assert board["title"]
    variables = {one["name"] for one in board["templating"]["list"]}
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    used: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & used, f"{panel['title']} lies on another panel"
        assert place["x"] + place["w"] <= 24
        used |= cells
        assert panel["type"] in ("row", "timeseries", "stat")
        targets = panel.get("targets", [])
        assert bool(targets) == (panel["type"] != "row")
        assert len({target["refId"] for target in targets}) == len(targets)
        for target in targets:
            expression = target["expr"]
            assert set(re.findall(r"\$(\w+)", expression)) <= variables | {"__rate_interval"}
            for opening, closing in ("()", "{}", "[]"):
                assert expression.count(opening) == expression.count(closing)
            assert target["datasource"]["uid"] == "${datasource}"


def test_the_scrape_configuration_asks_where_the_example_address_answers() -> None:
    text = (CONFIG / "prometheus.yml").read_text()
    assert "metrics_path: /metrics" in text
    assert 'targets: ["127.0.0.1:9464"]' in text
    assert Settings(metrics="127.0.0.1:9464").metrics in (CONFIG / "worker.toml").read_text()
    assert (CONFIG / "prometheus-alerts.yml").name in text


def test_the_readme_tells_of_every_metric_and_no_other(known: Figures) -> None:
    section = (
        (REPOSITORY / "README.md").read_text().partition("## Watching a worker")[2].partition("\n## ")[0]
    )
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    told = {name for _, names, *_ in rows for name in re.findall(r"`(\w+)`", names)}
    there = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in known if name.startswith(P)}
    assert {P + name for name in told} == there
