"""A disk that fails is seen by whoever watches the worker over HTTP, and so is that it is well again."""

import errno
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

MODEL = """
total = 0


def post(amount):
    global total
    total += amount
    return total
"""


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@pytest.fixture
def daemon(make_daemon: Any, model_root: Any, disk_faults: Any) -> Any:
    model_root.add("poster", MODEL)
    return make_daemon(model_root.path, env={**disk_faults.env, "MODEL_WORKER_METRICS": "127.0.0.1:0"})


@pytest.mark.parametrize("kind", ("WRITE", "SYNC"))
def test_an_outage_makes_a_worker_unready_shows_in_its_metrics_and_ends(
    daemon: Any, disk_faults: Any, disk_calls: Any, one_shot: Callable[[str], Any], kind: str
) -> None:
    ready = next(json.loads(line) for line in daemon.logged().splitlines() if '"worker ready"' in line)
    base = ready["metrics"].removesuffix("/metrics")

    def figure(name: str) -> float:
        status, text = fetch(f"{base}/metrics")
        assert status == 200, text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == f"model_worker_{name}")

    client = one_shot(daemon.endpoint)
    run_key = client.result("create_run", model_file="poster/model.py")["run_key"]
    assert (figure("log_outage"), fetch(f"{base}/readyz")[0]) == (0, 200)
    losses = figure("run_losses_total")

    disk_faults.arm(disk_calls[kind], errno.EIO)
    refused = client.refusal("call_operation", run_key=run_key, name="post", arguments=[1])
    assert refused["code"] == "LOG_UNAVAILABLE"
    assert figure("log_outage") == 1
    assert figure("log_outage_failed_writes") >= 1
    assert fetch(f"{base}/readyz") == (503, "the log cannot be written\n")
    assert fetch(f"{base}/livez") == (200, "alive\n")

    disk_faults.disarm()
    # What is asked for tries the disk itself, so nobody has to wait until the worker does.
    assert client.result("call_operation", run_key=run_key, name="post", arguments=[1]) == 1
    assert (figure("log_outage"), figure("log_outage_failed_writes")) == (0, 0)
    assert figure("run_losses_total") == losses + 1  # the process that was ahead of the log
    assert fetch(f"{base}/readyz") == (200, "ready\n")
