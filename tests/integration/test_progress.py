"""How far a long restore has come: published as it goes on, in the status, and as a bar on a terminal."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from protocol.client import Client
from protocol.events import Progress, decode_event, decode_progress

REPOSITORY = Path(__file__).parents[2]
MODEL = """
import os
import time


def wait(n):
    with open(os.path.join(os.path.dirname(__file__), "seconds.txt")) as seconds:
        time.sleep(float(seconds.read()))
    return n
"""
CONTEXT = '{"version": "V2", "restorations": {"rewind": {"name": "wait"}}}'
ACTIONS = 12
LONG_SECONDS = 0.15
PATIENCE_MS = 10_000


class Pace:
    """How long each action takes, live and replayed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def set(self, seconds: float) -> None:
        self._path.write_text(str(seconds))


@pytest.fixture(scope="module")
def pace(model_root: Any) -> Pace:
    model_root.add("slow", MODEL, CONTEXT)
    return Pace(model_root.path / "slow" / "seconds.txt")


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, pace: Pace) -> Any:
    pace.set(0)
    return make_daemon(model_root.path)


@pytest.fixture
def client(daemon: Any) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture
def run_key(client: Client, pace: Pace, wait_until: Callable[..., None]) -> str:
    """A run of twelve quick actions, out of memory."""
    pace.set(0)
    key = client.create_run("slow/model.py").run_key
    for n in range(ACTIONS):
        client.call_operation(key, "wait", [n])
    client.evict_run(key)
    # The reply does not wait for the event, which must not be taken for that of a later eviction.
    wait_until(lambda: client.read_events(key)["events"][-1]["kind"] == "evicted")
    return key


@pytest.fixture
def published(daemon: Any, client: Client, wait_until: Callable[..., None]) -> Iterator[Any]:
    """A subscriber of everything."""
    before = client.worker_status()["events"]["subscriptions"]
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.connect(daemon.events)
        socket.subscribe(b"")
        wait_until(lambda: client.worker_status()["events"]["subscriptions"] > before)
        yield socket


def until_evicted(published: Any, run_key: str) -> tuple[list[Progress], list[str]]:
    """Progress messages, and the kinds of events, up to the eviction of a run."""
    progress: list[Progress] = []
    kinds: list[str] = []
    while not kinds or kinds[-1] != "evicted":
        assert published.poll(PATIENCE_MS)
        topic, body = published.recv_multipart()
        if topic.startswith(b"progress/"):
            progress.append(decode_progress(body))
            assert topic.decode() == f"progress/{progress[-1].run_key}"
        else:
            event = decode_event(body)
            assert event.run_key == run_key
            kinds.append(event.kind)
    return progress, kinds


def test_a_long_restore_is_told_as_it_goes_on_and_to_its_end(
    client: Client, run_key: str, pace: Pace, published: Any
) -> None:
    pace.set(LONG_SECONDS)
    client.restore_run(run_key)
    client.evict_run(run_key)
    progress, kinds = until_evicted(published, run_key)
    applied = [one.applied for one in progress]
    assert {one.run_key for one in progress} == {run_key}
    assert {one.total for one in progress} == {ACTIONS}
    assert applied == sorted(applied)
    assert applied[-1] == ACTIONS
    seconds = ACTIONS * LONG_SECONDS
    assert 3 <= len(applied) <= 4 * seconds + 1, "about four a second"
    assert kinds == ["restored", "evicted"]
    events = client.read_events(run_key)["events"]
    assert [event["event"] for event in events] == list(range(1, len(events) + 1))


def test_a_quick_restore_is_not_told_of(client: Client, run_key: str, published: Any) -> None:
    client.restore_run(run_key)
    client.evict_run(run_key)
    assert until_evicted(published, run_key) == ([], ["restored", "evicted"])


def test_what_a_rewind_took_back_is_not_counted(
    client: Client, run_key: str, pace: Pace, published: Any
) -> None:
    client.rewind_run(run_key, rewind_count=4)
    client.call_operation(run_key, "wait", [0])
    client.evict_run(run_key)
    until_evicted(published, run_key)
    pace.set(LONG_SECONDS)
    client.restore_run(run_key)
    client.evict_run(run_key)
    progress, _ = until_evicted(published, run_key)
    assert {one.total for one in progress} == {ACTIONS - 4 + 1}
    assert progress[-1].applied == progress[-1].total


def test_a_clone_tells_what_it_is_made_from(client: Client, run_key: str, pace: Pace, published: Any) -> None:
    pace.set(LONG_SECONDS)
    clone = client.clone_run(run_key).run_key
    assert published.poll(PATIENCE_MS)
    told = decode_progress(published.recv_multipart()[1])
    assert (told.run_key, told.cloned_from) == (clone, run_key)


def call(endpoint: str, *arguments: str, err: int) -> tuple[int, str]:
    """``model-worker call``; its exit status and what it writes to stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "call", *arguments, "--endpoint", endpoint],
        stdout=subprocess.PIPE,
        stderr=err,
        text=True,
        timeout=30,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "80"},
        check=False,
    )
    return done.returncode, done.stdout


def shown_on_terminal(endpoint: str, *arguments: str) -> tuple[int, str, str]:
    """The same with a terminal for stderr, and what is shown there."""
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        status, out = call(endpoint, *arguments, err=slave)
        os.write(slave, b"<end>")
        os.close(slave)
        shown = b""
        while not shown.endswith(b"<end>"):
            shown += terminal.read(65536)
    return status, out, shown.decode()


@pytest.mark.parametrize(
    ("request_type", "fields"),
    (("restore_run", {}), ("call_operation", {"name": "wait", "arguments": [1]}), ("clone_run", {})),
)
def test_a_request_shows_a_bar_on_a_terminal_while_its_run_is_replayed(
    daemon: Any, run_key: str, pace: Pace, request_type: str, fields: dict[str, Any]
) -> None:
    pace.set(LONG_SECONDS)
    body = json.dumps({"run_key": run_key, **fields})
    status, out, shown = shown_on_terminal(daemon.endpoint, request_type, body)
    assert status == 0, shown
    json.loads(out)
    assert "replaying" in shown
    assert f"/{ACTIONS}" in shown


def test_without_a_replay_or_without_a_terminal_there_is_no_bar(
    daemon: Any, run_key: str, pace: Pace, tmp_path: Path
) -> None:
    body = json.dumps({"run_key": run_key})
    assert shown_on_terminal(daemon.endpoint, "restore_run", body)[2] == "<end>"
    with daemon.client() as client:
        client.evict_run(run_key)
    pace.set(LONG_SECONDS)
    with (tmp_path / "err").open("w+") as err:
        status, out = call(daemon.endpoint, "restore_run", body, err=err.fileno())
        err.seek(0)
        assert (status, json.loads(out)["live"], err.read()) == (0, True, "")


def test_a_start_says_that_it_checks_a_database_that_was_not_closed(
    make_daemon: Any, model_root: Any, pace: Pace
) -> None:
    pace.set(0)
    daemon = make_daemon(model_root.path)
    assert "checking database" not in daemon.logged()
    with daemon.client() as client:
        client.create_run("slow/model.py")
    daemon.kill()
    daemon.start()
    told = [json.loads(line) for line in daemon.logged().splitlines()]
    assert [one["event"] for one in told][:2] == [
        "checking database after an unclean end",
        "database checked",
    ]
    assert told[0]["size_bytes"] > 0
    assert told[1]["duration_seconds"] >= 0
    assert daemon.stop() == 0
    daemon.start()
    assert "checking database" not in daemon.logged()
