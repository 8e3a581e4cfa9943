"""A worker or a gateway that is lost in the middle of a request: answered in time, and applied once or not at all."""

import concurrent.futures
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

STEADY = '''
import time

from epicenter import Epicenter

count = 0


def step(seconds=0):
    """Counts before it takes its time, so that a second performance would show."""
    global count
    count += 1
    Epicenter.record("count", count)
    time.sleep(seconds)
    return count
'''
AWAY_SECONDS = 4.0
"""By when a gateway knows that its worker does not answer: the next ping, and its patience."""


@pytest.fixture(scope="module")
def steady(models: Path) -> Path:
    (models / "steady.py").write_text(STEADY)
    return models


@pytest.fixture
def daemon(make_daemon: Any, steady: Path, tmp_path: Path) -> Any:
    """A worker that is always at the same address, as one that a service manager starts anew."""
    return make_daemon(steady, bind=(f"ipc://{tmp_path}/worker",))


@pytest.fixture
def connect(
    make_gateway: Any, daemon: Any, connect_api: Any, wait_until: Any
) -> Callable[[], tuple[Any, Any]]:
    """``connect()``: a gateway of its own, that has found the worker, and a client of it."""

    def start() -> tuple[Any, Any]:
        gateway = make_gateway(daemon.endpoint)
        api = connect_api(gateway.url)
        wait_until(lambda: is_ready(api))
        return gateway, api

    return start


@pytest.fixture
def pool() -> Any:
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        yield threads


def step(api: Any, run_key: str, seconds: float = 0, key: str | None = None, **query: Any) -> httpx.Response:
    """Ask for one step; ``key``: the request's Idempotency-Key."""
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"name": "step", "arguments": [seconds]}
    response: httpx.Response = api.ask("POST", f"/run/operation/{run_key}", body, headers=headers, **query)
    return response


def is_at_work(daemon: Any, run_key: str) -> bool:
    with daemon.client() as client:
        return bool(client.get_run(run_key).status == "executing")


def is_ready(api: Any) -> bool:
    return bool(api.root.get("/readyz").status_code == 200)


def statuses(gateway: Any) -> list[int]:
    """Of the steps in its log."""
    return [line["status"] for line in gateway.logged() if line.get("endpoint") == "operation"]


def counted(api: Any, run_key: str) -> Any:
    return api.result("POST", f"/run/variable/{run_key}", {"include": "count", "ritual": "REVIVE"})


def test_a_worker_killed_while_it_performs_and_started_anew_answers_once(
    daemon: Any, connect: Any, pool: Any, wait_until: Any
) -> None:
    _, api = connect()
    run_key = api.create(modelFile="steady.py")
    assert step(api, run_key).json() == 1
    waiting = pool.submit(step, api, run_key, 1)
    wait_until(lambda: is_at_work(daemon, run_key))
    daemon.kill()
    assert not waiting.done()
    daemon.start()
    response = waiting.result(60)
    assert (response.status_code, response.json()) == (200, 2)
    wait_until(lambda: is_ready(api))
    assert counted(api, run_key) == [2]
    with daemon.client() as client:
        assert [entry["seq"] for entry in client.read_history(run_key)["entries"]] == [1, 2, 3]


def test_steps_while_the_worker_is_killed_again_and_again_are_each_applied_once(
    daemon: Any, connect: Any, pool: Any, wait_until: Any
) -> None:
    _, api = connect()
    run_key = api.create(modelFile="steady.py")
    answers: list[Any] = []

    def play() -> None:
        while len(answers) < 60:
            response = step(api, run_key, key=f"step {len(answers)}")
            if response.status_code == 503:
                assert response.headers["retry-after"]
                wait_until(lambda: is_ready(api), 60)
            else:
                answers.append((response.status_code, response.json()))

    playing = pool.submit(play)
    for kill in range(4):
        wait_until(lambda least=10 * (kill + 1): len(answers) >= least, 60)
        daemon.kill()
        daemon.start()
    playing.result(100)
    assert answers == [(200, number) for number in range(1, 61)]
    wait_until(lambda: is_ready(api))
    assert counted(api, run_key) == [60]


def test_a_worker_that_stays_away_is_503_in_time_and_the_outcome_is_said_to_be_unknown(
    daemon: Any, connect: Any, pool: Any, wait_until: Any
) -> None:
    gateway, api = connect()
    run_key = api.create(modelFile="steady.py")
    began = time.monotonic()
    waiting = pool.submit(step, api, run_key, 60, timeout=5)
    wait_until(lambda: is_at_work(daemon, run_key))
    daemon.kill()
    response = waiting.result(30)
    assert time.monotonic() - began < 5 + AWAY_SECONDS
    information = response.json()["information"]
    assert (response.status_code, information["code"]) == (503, "WORKER_UNREACHABLE")
    assert (information["applied"], information["retryable"]) == ("unknown", True)
    assert response.headers["retry-after"] == "1"
    at_once = time.monotonic()
    refused = step(api, run_key)
    assert time.monotonic() - at_once < 2
    assert (refused.status_code, refused.json()["information"]["applied"]) == (503, "no")
    # A line is written behind its answer.
    wait_until(lambda: statuses(gateway) == [503, 503])


def test_a_worker_that_is_stopped_is_away_and_what_waits_is_answered_once_when_it_goes_on(
    daemon: Any, connect: Any, pool: Any, wait_until: Any
) -> None:
    _, api = connect()
    run_key = api.create(modelFile="steady.py")
    waiting = pool.submit(step, api, run_key, 0.5)
    wait_until(lambda: is_at_work(daemon, run_key))
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        late = step(api, run_key, timeout=AWAY_SECONDS)
        assert (late.status_code, late.json()["information"]["code"]) == (503, "WORKER_UNREACHABLE")
        assert api.root.get("/readyz").status_code == 503
        assert api.root.get("/livez").status_code == 200
        assert step(api, run_key).json()["information"]["applied"] == "no"
        assert not waiting.done()
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert waiting.result(60).json() == 1
    wait_until(lambda: is_ready(api))
    # The late one reached the worker, which had it in its queue: "unknown" is what it was said to be.
    assert late.json()["information"]["applied"] == "unknown"
    assert counted(api, run_key) in ([1], [2])


def test_a_request_whose_gateway_is_killed_is_taken_up_at_another_and_applied_once(
    daemon: Any, connect: Any, pool: Any, wait_until: Any
) -> None:
    (first, api), (_, other) = connect(), connect()
    run_key = api.create(modelFile="steady.py")
    waiting = pool.submit(step, api, run_key, 2, key="once")
    wait_until(lambda: is_at_work(daemon, run_key))
    first.process.kill()
    with pytest.raises(httpx.TransportError):
        waiting.result(30)
    assert [step(other, run_key, 2, key="once").json() for _ in range(2)] == [1, 1]
    assert counted(other, run_key) == [1]
