"""How a worker ends, and where it refuses to begin."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "worker.cli.main", "serve")


@pytest.fixture
def own_daemon(make_daemon: Any, model_root: Any, counter_model: str) -> Any:
    """A daemon that the test may end."""
    return make_daemon(model_root.path)


def make_run(peer: Any, model_file: str, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    return run_key


def serve(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Start a worker that is expected to refuse."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
        check=False,
    )


def end(daemon: Any, peer: Any, how: str) -> Any:
    """Have the worker drain; the reply's result, where there is a reply."""
    if how == "request":
        return peer.result("drain")
    daemon.process.terminate()
    return None


@pytest.mark.parametrize("how", ("request", "signal"))
def test_a_drained_worker_has_kept_everything_and_left_nothing(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any], how: str
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    keys = [make_run(peer, counter_model) for _ in range(5)]
    for number, run_key in enumerate(keys):
        peer.result("call_operation", run_key=run_key, name="add", arguments=[number])
    children = daemon.descendants()

    result = end(daemon, peer, how)

    assert result == (None if how == "signal" else {"evicted": 5})
    assert daemon.process.wait(30) == 0
    assert not daemon.survivors(children)
    assert daemon.logged().count('"reason": "drain"') == 5
    peer = connect(daemon.start().endpoint)
    for number, run_key in enumerate(keys):
        run = peer.result("get_run", run_key=run_key)
        assert (run["live"], run["seq"]) == (False, 2)
        values = peer.result("read_variables", run_key=run_key, names=["counter"], ritual="REVIVE")
        assert values == {"counter": number}


@pytest.mark.parametrize("how", ("request", "signal"))
def test_a_draining_worker_ends_what_it_began_and_refuses_the_rest(
    own_daemon: Any,
    counter_model: str,
    connect: Callable[..., Any],
    wait_until: Callable[..., None],
    how: str,
) -> None:
    daemon = own_daemon
    peer, other = connect(daemon.endpoint), connect(daemon.endpoint)
    run_key, idle = make_run(peer, counter_model), make_run(peer, counter_model)
    began = peer.send("call_operation", run_key=run_key, name="nap", arguments=[1.5])
    waiting = peer.send("call_operation", run_key=run_key, name="add", arguments=[100])
    peer.send("worker_status")
    status = peer.receive()["result"]
    assert status["runs"]["queued_requests"] == 1
    if how == "request":
        drain = peer.send("drain")
    else:
        drain = None
        daemon.process.terminate()
    wait_until(lambda: other.result("worker_status")["draining"])

    refusals = [
        other.error("create_run", model_file=counter_model),
        other.error("get_run", run_key=idle),
        other.error("call_operation", run_key=idle, name="add"),
    ]
    assert {(error["code"], error["status"], error["retryable"]) for error in refusals} == {
        ("DRAINING", 503, True)
    }
    assert other.result("ping")

    replies = {
        reply["request_id"]: reply for reply in (peer.receive() for _ in range(2 + (how == "request")))
    }
    assert replies[began]["result"] == 1
    assert replies[waiting]["error"]["code"] == "DRAINING"
    assert replies[waiting]["error"]["information"]["applied"] == "no"
    if drain is not None:
        assert replies[drain]["result"] == {"evicted": 2}
    assert daemon.process.wait(30) == 0
    peer = connect(daemon.start().endpoint)
    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 1}


def test_a_drain_waits_no_longer_than_its_grace(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    run_key = make_run(peer, counter_model)
    nap = peer.send("call_operation", run_key=run_key, name="nap", arguments=[50])
    drain = peer.send("drain", grace_seconds=0.3)

    replies = {reply["request_id"]: reply for reply in (peer.receive(10), peer.receive(10))}

    assert replies[drain]["ok"]
    assert replies[nap]["error"]["code"] == "DRAINING"
    assert replies[nap]["error"]["information"]["applied"] == "no"
    assert daemon.process.wait(30) == 0
    peer = connect(daemon.start().endpoint)
    assert peer.result("get_run", run_key=run_key)["seq"] == 1


def test_a_drain_catches_runs_that_are_still_coming_up(
    make_daemon: Any,
    model_root: Any,
    counter_model: str,
    connect: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    daemon = make_daemon(model_root.path)
    peer, looker = connect(daemon.endpoint), connect(daemon.endpoint)
    slow = model_root.add("slow", "import time\ntime.sleep(2)\n")
    creates = [peer.send("create_run", model_file=slow) for _ in range(3)]
    wait_until(lambda: looker.result("worker_status")["runs"]["restoring"] == 3)
    drain = peer.send("drain")

    replies = {reply["request_id"]: reply for reply in (peer.receive() for _ in range(4))}

    # They were begun for their requests, so they are created first, and evicted then.
    keys = [replies[id_]["result"]["run_key"] for id_ in creates]
    assert replies[drain]["ok"]
    assert daemon.process.wait(30) == 0
    peer = connect(daemon.start().endpoint)
    assert [peer.result("get_run", run_key=key)["live"] for key in keys] == [False] * 3


def test_two_drains_at_once_are_both_answered(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    run_key = make_run(peer, counter_model)
    peer.send("call_operation", run_key=run_key, name="nap", arguments=[0.5])
    sent = {peer.send("drain"), peer.send("drain")}

    replies = [peer.receive() for _ in range(3)]

    assert sent <= {reply["request_id"] for reply in replies}
    assert all(reply["ok"] for reply in replies)
    assert daemon.process.wait(30) == 0


def test_nothing_of_a_killed_worker_outlives_it(
    make_daemon: Any,
    model_root: Any,
    counter_model: str,
    connect: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    keys = [make_run(peer, counter_model) for _ in range(3)]
    peer.result("call_operation", run_key=keys[0], name="add")
    peer.send("call_operation", run_key=keys[1], name="nap", arguments=[50])
    peer.result("call_operation", run_key=keys[0], name="add")
    children = daemon.descendants()
    assert len(children) >= 4

    daemon.process.kill()
    daemon.process.wait(30)

    wait_until(lambda: not daemon.survivors(children))
    peer = connect(daemon.start().endpoint)
    assert peer.result("read_variables", run_key=keys[0], names=["counter"]) == {"counter": 2}
    assert [peer.result("get_run", run_key=key)["seq"] for key in keys] == [3, 1, 1]


# Where it refuses to begin


def test_a_second_worker_on_the_same_data_names_the_first(
    daemon: Any, model_root: Any, tmp_path: Path
) -> None:
    refused = serve(
        "--models", str(model_root.path), "--data", daemon.data, "--bind", f"ipc://{tmp_path}/second"
    )

    assert refused.returncode == 1
    assert str(daemon.pid) in refused.stderr
    assert daemon.data in refused.stderr
    assert "ready" not in refused.stdout
    with daemon.client() as client:
        assert client.ping()


def test_a_worker_after_a_killed_one_takes_over_its_data(make_daemon: Any, model_root: Any) -> None:
    daemon = make_daemon(model_root.path)
    daemon.kill()

    daemon.start()

    with daemon.client() as client:
        assert client.ping()


@pytest.mark.parametrize(
    "endpoint",
    ("tcp://0.0.0.0:0", "tcp://*:0", "tcp://192.0.2.1:5670", "tcp://[::]:0", "tcp://example.org:5670"),
)
def test_an_endpoint_that_others_can_reach_is_refused(model_root: Any, endpoint: str) -> None:
    refused = serve("--models", str(model_root.path), "--data", ":memory:", "--bind", endpoint)

    assert refused.returncode == 1
    assert endpoint in refused.stderr
    assert "CURVE" in refused.stderr or "loopback" in refused.stderr
    assert "ready" not in refused.stdout


def test_a_port_in_use_is_refused_by_name(model_root: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"

        refused = serve("--models", str(model_root.path), "--data", ":memory:", "--bind", endpoint)

    assert refused.returncode == 1
    assert endpoint in refused.stderr
    assert "in use" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    (
        (("--models", "/no/such/folder"), {}, "/no/such/folder"),
        (("--config", "/no/such/file.toml"), {}, "/no/such/file.toml"),
        (("--bind", "nonsense"), {}, "nonsense"),
        ((), {"MODEL_WORKER_REPLAY_LIMIT": "0"}, "replay_limit"),
        ((), {"MODEL_WORKER_SANDBOX": "none"}, "sandbox"),
    ),
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(
    model_root: Any, arguments: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    refused = serve("--models", str(model_root.path), "--data", ":memory:", *arguments, **env)

    assert refused.returncode == 1
    assert said in refused.stderr.lower()
    assert "Traceback" not in refused.stderr


def test_a_data_folder_that_cannot_be_written_is_refused_by_name(model_root: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")

    refused = serve(
        "--models", str(model_root.path), "--data", str(file / "data"), "--bind", f"ipc://{tmp_path}/s"
    )

    assert refused.returncode == 1
    assert str(file) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_worker_without_models_any_more_still_serves_what_is_archived(
    make_daemon: Any, tmp_path: Path, counter_model: str, model_root: Any, connect: Callable[..., Any]
) -> None:
    models = tmp_path / "models"
    shutil.copytree(model_root.path / "counter", models / "counter")
    tmp_path.chmod(0o755)
    daemon = make_daemon(models)
    peer = connect(daemon.endpoint)
    run_key = make_run(peer, counter_model)
    peer.result("evict_run", run_key=run_key)
    shutil.rmtree(models / "counter")

    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 0}
    assert peer.result("get_run", run_key=run_key)["live"] is False
    assert peer.error("restore_run", run_key=run_key)["code"] == "MODEL_NOT_FOUND"
    assert peer.result("update_run", run_key=run_key, closed=True)["closed"] is True
