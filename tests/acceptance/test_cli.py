"""``model-worker serve`` and ``model-worker call`` as a user meets them."""

import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PROGRAM = (sys.executable, "-m", "worker.cli.main")
COUNTER = """
count = 0


def step(by=1):
    global count
    if by < 1:
        raise ValueError("by must be at least 1")
    count += by
    return count


def nap(seconds):
    import time

    time.sleep(seconds)
    return step()
"""


@pytest.fixture
def models(open_folder: Path) -> Path:
    folder = open_folder / "models"
    (folder / "counter").mkdir(parents=True, exist_ok=True)
    (folder / "counter/model.py").write_text(COUNTER)
    return folder


@pytest.fixture
def worker(launch: Any, models: Path, tmp_path: Path) -> Any:
    return launch(models, data=str(tmp_path / "data"))


@pytest.fixture
def call(command: Callable[..., Any], worker: Any) -> Callable[..., Any]:
    """``call(type, **fields)``: one request from the shell."""

    def ask(request_type: str, **fields: Any) -> Any:
        return command("call", request_type, json.dumps(fields), "--endpoint", worker.endpoint)

    return ask


# serve


def test_serve_says_ready_on_stdout_and_logs_json_on_stderr(worker: Any) -> None:
    assert worker.ready == f"ready {worker.endpoint}\n"
    (record,) = worker.logged("worker ready")
    assert (record["pid"], record["endpoints"]) == (worker.pid, [worker.endpoint])
    assert {"level", "timestamp", "version", "sandbox"} <= record.keys()


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT), ids=("SIGTERM", "SIGINT"))
def test_serve_ends_with_status_0_when_signalled_and_its_runs_are_gone(
    worker: Any, number: int, wait_until: Callable[..., None]
) -> None:
    with worker.client() as client:
        keys = [client.create_run("counter/model.py").run_key for _ in range(3)]
        processes = worker.run_processes()
        assert len(processes) == len(keys)
    assert worker.stop(number) == 0
    wait_until(lambda: not any(process.is_running() for process in processes), within=5)
    assert worker.process.stdout.read() == ""
    assert len(worker.logged("run evicted")) == 3
    assert worker.logged("worker stopped")


def test_a_request_under_way_is_finished_before_a_signalled_worker_ends(
    worker: Any, launch: Any, models: Path, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    with worker.client() as client, worker.client() as watcher:
        key = client.create_run("counter/model.py").run_key

        def signalled() -> bool:
            return bool(watcher.get_run(key).status == "executing")

        with ThreadPoolExecutor(1) as thread:
            under_way = thread.submit(client.call_operation, key, "nap", [1])
            wait_until(signalled)
            assert worker.stop() == 0
            assert under_way.result() == 1
    again = launch(models, data=str(tmp_path / "data"))
    with again.client() as client:
        assert client.read_variables(key, ["count"], ritual="REVIVE") == {"count": 1}


@pytest.mark.parametrize(
    ("toml", "words"),
    (
        ("no_such_setting = 1", "no_such_setting"),
        ('live_run_limit = "many"', "live_run_limit"),
        ('sandbox = "none"', "sandbox"),
        ("this is no TOML", "settings"),
    ),
)
def test_a_wrong_setting_is_named(command: Any, models: Path, tmp_path: Path, toml: str, words: str) -> None:
    config = tmp_path / "worker.toml"
    config.write_text(toml)
    done = command("serve", "--config", str(config), "--models", str(models), "--data", ":memory:")
    assert (done.status, done.out) == (1, "")
    assert words in done.err
    assert str(config) in done.err
    assert "Traceback" not in done.err


def test_a_wrong_setting_of_the_environment_is_named(command: Any, models: Path) -> None:
    done = command("serve", "--models", str(models), "--data", ":memory:", MODEL_WORKER_THREADS="-3")
    assert (done.status, done.out) == (1, "")
    assert "threads" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    (
        (("--models", "/no/such/folder"), "/no/such/folder"),
        (("--config", "/no/such/file.toml"), "/no/such/file.toml"),
        (("--bind", "tcp://0.0.0.0:5671"), "not a loopback address"),
        (("--bind", "tcp://192.0.2.1:5671"), "not a loopback address"),
        (("--bind", "somewhere"), "somewhere"),
        (("--data", "/proc/no/such"), "/proc/no/such"),
    ),
)
def test_serve_refuses_what_cannot_work_and_says_why(
    command: Any, models: Path, arguments: tuple[str, ...], words: str
) -> None:
    defaults = {"--models": str(models), "--data": ":memory:", "--bind": "ipc:///tmp/never-bound"}
    given = {**defaults, arguments[0]: arguments[1]}
    done = command("serve", *(part for pair in given.items() for part in pair))
    assert (done.status, done.out) == (1, "")
    assert words in done.err
    assert done.err.startswith("model-worker: ")


def test_a_data_folder_in_use_names_the_worker_that_uses_it(
    worker: Any, launch: Any, models: Path, tmp_path: Path
) -> None:
    second = launch(models, data=str(tmp_path / "data"))
    assert second.ready == ""
    assert second.process.wait(30) == 1
    assert str(worker.pid) in second.log.read_text()
    with worker.client() as client:
        assert client.ping()


@pytest.mark.parametrize("kind", ("ipc", "tcp"))
def test_an_endpoint_in_use_is_refused_and_its_owner_keeps_it(
    launch: Any, models: Path, open_folder: Path, free_port: int, kind: str
) -> None:
    endpoint = f"ipc://{open_folder}/taken" if kind == "ipc" else f"tcp://127.0.0.1:{free_port}"
    first = launch(models, bind=endpoint)
    second = launch(models, bind=endpoint)
    assert second.process.wait(30) == 1
    assert endpoint in second.log.read_text()
    with first.client() as client:
        assert client.worker_status()["pid"] == first.pid


def test_an_ipc_path_that_a_killed_worker_left_is_taken_over(
    launch: Any, models: Path, open_folder: Path
) -> None:
    endpoint = f"ipc://{open_folder}/left"
    first = launch(models, bind=endpoint)
    first.stop(signal.SIGKILL)
    assert (open_folder / "left").exists()
    second = launch(models, bind=endpoint)
    with second.client() as client:
        assert client.worker_status()["pid"] == second.pid


def test_several_endpoints_serve_one_worker(
    launch: Any, models: Path, open_folder: Path, free_port: int
) -> None:
    second = f"tcp://127.0.0.1:{free_port}"
    worker = launch(models, arguments=("--bind", second))
    assert worker.ready == f"ready {worker.endpoint} {second}\n"


def test_a_low_limit_of_open_files_is_raised_as_far_as_the_system_allows(launch: Any, models: Path) -> None:
    low = ("sh", "-c", 'ulimit -Sn 100 && exec "$@"', "sh", *PROGRAM)
    worker = launch(models, program=low)
    with worker.client() as client:
        assert [client.create_run("counter/model.py").live for _ in range(40)] == [True] * 40


def test_a_limit_of_open_files_that_cannot_hold_all_runs_is_warned_of(launch: Any, models: Path) -> None:
    low = ("sh", "-c", 'ulimit -n 400 && exec "$@"', "sh", *PROGRAM)
    worker = launch(models, program=low)
    (warning,) = worker.logged_levels("warning")
    assert (warning["granted"], warning["live_run_limit"]) == (400, 1000)


# call


def test_call_prints_the_result_as_json(call: Callable[..., Any]) -> None:
    created = call("create_run", model_file="counter/model.py")
    assert (created.status, created.err) == (0, "")
    run_key = json.loads(created.out)["run_key"]
    done = call("call_operation", run_key=run_key, name="step", arguments=[2])
    assert (done.status, json.loads(done.out), done.err) == (0, 2, "")


def test_call_writes_an_error_object_to_stderr_and_exits_with_1(call: Callable[..., Any]) -> None:
    run_key = json.loads(call("create_run", model_file="counter/model.py").out)["run_key"]
    done = call("call_operation", run_key=run_key, name="step", arguments=[0])
    assert (done.status, done.out) == (1, "")
    assert done.error["code"] == "OPERATION_FAILED"
    assert done.error["status"] == 422
    assert done.error["information"]["type"] == "ValueError"
    assert "by must be at least 1" in done.error["message"]


@pytest.mark.parametrize(
    ("request_type", "fields", "code", "words"),
    (
        ("get_run", "{", "INVALID_REQUEST", "JSON"),
        ("get_run", "[1]", "INVALID_REQUEST", "object"),
        ("get_run", "{}", "INVALID_REQUEST", "run_key"),
        (
            "get_run",
            '{"run_key": "000000000000000000000000000000000000"}',
            "RUN_NOT_FOUND",
            "there is no run",
        ),
        ("no_such_type", "{}", "UNKNOWN_TYPE", "no_such_type"),
        ("ping", '{"surplus": 1}', "INVALID_REQUEST", "surplus"),
        ("ping", '{"timeout_seconds": "long"}', "INVALID_REQUEST", "--timeout-seconds"),
    ),
)
def test_call_says_what_is_wrong_with_a_request(
    command: Any, worker: Any, *, request_type: str, fields: str, code: str, words: str
) -> None:
    done = command("call", request_type, fields, "--endpoint", worker.endpoint)
    assert (done.status, done.out) == (1, "")
    assert done.error["code"] == code
    assert words in done.error["message"]


@pytest.mark.parametrize(
    "arguments", (("--endpoint", "nonsense"), ("--timeout-seconds", "0"), ("--timeout-seconds", "-1"))
)
def test_call_refuses_options_that_make_no_sense(command: Any, arguments: tuple[str, ...]) -> None:
    done = command("call", "ping", *arguments)
    assert (done.status, done.out) == (1, "")
    assert done.error["code"] == "INVALID_REQUEST"


@pytest.fixture
def deaf_endpoint() -> Iterator[str]:
    """Something listens there, but it is no worker."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("there", (False, True), ids=("nothing there", "no worker there"))
def test_call_gives_up_in_time_when_no_worker_answers(
    command: Any, deaf_endpoint: str, free_port: int, *, there: bool
) -> None:
    endpoint = deaf_endpoint if there else f"tcp://127.0.0.1:{free_port}"
    began = time.monotonic()
    done = command("call", "ping", "--endpoint", endpoint, "--timeout-seconds", "1")
    assert time.monotonic() - began < 10
    assert (done.status, done.out) == (1, "")
    assert done.error["code"] == "DEADLINE_EXCEEDED"
    assert endpoint in done.error["message"]


def test_drain_by_call_ends_the_worker_with_status_0(worker: Any, call: Callable[..., Any]) -> None:
    call("create_run", model_file="counter/model.py")
    done = call("drain")
    assert (done.status, json.loads(done.out)) == (0, {"evicted": 1})
    assert worker.process.wait(30) == 0


def test_help_and_no_command_tell_what_there_is(command: Any) -> None:
    done = command("--help")
    assert done.status == 0
    assert all(name in done.out for name in ("serve", "call", "demo"))
    assert command("no-such-command").status == 2
