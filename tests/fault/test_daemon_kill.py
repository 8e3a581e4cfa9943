"""SIGKILL of the daemon, of run processes and of zygotes, under load: what was acknowledged stays, once.

Moments are drawn from a seed that is printed; MODEL_WORKER_FAULT_SEED repeats a run of these tests.
"""

import contextlib
import os
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError

MODEL = """
import time

from epicenter import Epicenter

entries = []
total = 0


def post(key, amount):
    global total
    entries.append(key)
    total += amount
    Epicenter.record("total", total)
    return [len(entries), total]


def fail(key, amount):
    post(key, amount)
    raise ValueError(key)


def nap(seconds):
    entries.append("nap")
    time.sleep(seconds)
    return len(entries)
"""
LITTER = """
import os

calls = 0


def litter(files):
    global calls
    calls += 1
    for number in range(files):
        os.close(os.open(f"{os.environ['TMPDIR']}/{number}", os.O_CREAT))
    return calls
"""
CYCLES = 10
RUNS = 3
CLIENTS = 4
RESEND_SECONDS = 0.6


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    name: str = model_root.add(
        "ledger", MODEL, '{"version": "V2", "operations": {"nap": {"timeoutSeconds": 90}}}'
    )
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, model: str) -> Any:
    return make_daemon(model_root.path)


@pytest.fixture(scope="module")
def dice() -> random.Random:
    seed = int(os.environ.get("MODEL_WORKER_FAULT_SEED") or secrets.randbits(32))
    sys.stdout.write(f"MODEL_WORKER_FAULT_SEED={seed}\n")
    return random.Random(seed)


@dataclass
class Sent:
    """One request as its client saw it; ``answer`` and ``seq`` are None until it was acknowledged."""

    request_id: str
    run_key: str
    name: str
    amount: int
    answer: Any = None
    seq: int | None = None

    def ask(self, client: Client) -> None:
        """Send it; an error of the model is an acknowledgement too."""
        fields = {"run_key": self.run_key, "name": self.name, "arguments": [self.request_id, self.amount]}
        try:
            reply = client.request("call_operation", **fields, request_id=self.request_id)
        except ProtocolError as error:
            if error.code is not ErrorCode.OPERATION_FAILED:
                raise
            self._answered(error.message)
            return
        assert reply.run is not None
        self._answered(reply.result, reply.run.seq)

    def _answered(self, answer: Any, seq: int | None = None) -> None:
        assert self.answer in (None, answer), f"answered {self.answer} first, then {answer}"
        assert self.seq in (None, seq), f"at seq {self.seq} first, then {seq}"
        self.answer, self.seq = answer, seq


@dataclass
class Load:
    """Clients that post to runs until they are stopped or their worker is gone."""

    endpoint: str
    run_keys: list[str]
    sent: list[Sent] = field(default_factory=list)
    unexpected: list[Exception] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._post, args=(seed,)) for seed in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def _post(self, seed: int) -> None:
        choose = random.Random(seed).choice
        with Client(self.endpoint, timeout_seconds=RESEND_SECONDS) as client:
            while not self._stop.is_set():
                sent = Sent(
                    uuid.uuid4().hex,
                    choose(self.run_keys),
                    choose(("post", "post", "fail")),
                    choose((1, 2, 5)),
                )
                self.sent.append(sent)
                try:
                    sent.ask(client)
                except ProtocolError as error:
                    if error.code is ErrorCode.DEADLINE_EXCEEDED:
                        return
                    if error.code is not ErrorCode.PROCESS_EXITED:
                        self.unexpected.append(error)
                        return

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.unexpected, self.unexpected


def history(client: Client, run_key: str) -> list[dict[str, Any]]:
    """All entries after the boot."""
    entries: list[dict[str, Any]] = []
    while True:
        page = client.read_history(run_key, after_seq=entries[-1]["seq"] if entries else 0, limit=1000)[
            "entries"
        ]
        if not page:
            return entries[1:]
        entries += page


def check(client: Client, run_key: str, sent: list[Sent], *, all_applied: bool) -> None:
    """Acknowledged: once, at its seq. Not acknowledged: once or never. The state is the history's."""
    entries = history(client, run_key)
    assert [entry["seq"] for entry in entries] == list(range(2, len(entries) + 2)), "gaps"
    seqs: dict[str, list[int]] = {}
    for entry in entries:
        seqs.setdefault(entry["request_id"], []).append(entry["seq"])
    mine = [one for one in sent if one.run_key == run_key]
    for one in mine:
        found = seqs.get(one.request_id, [])
        assert len(found) == 1 or not (found or one.answer or all_applied), (one, found)
        assert one.seq in (None, *found), (one, found)
    amounts = {one.request_id: one.amount for one in mine}
    assert seqs.keys() <= amounts.keys(), "entries that nobody asked for"
    values = client.read_variables(run_key, ["entries", "total"], ritual="REVIVE")
    assert values["entries"] == [entry["request_id"] for entry in entries]
    assert values["total"] == sum(amounts[entry["request_id"]] for entry in entries)
    for one in mine:
        if isinstance(one.answer, list):
            position, total = one.answer
            so_far = values["entries"][:position]
            assert (so_far[-1], total) == (one.request_id, sum(amounts[key] for key in so_far))


def runtime_folder(daemon: Any) -> Path:
    return Path((Path(daemon.data) / "runtime").read_text().splitlines()[0])


def test_nothing_acknowledged_is_lost_and_nothing_applied_twice_over_many_kills(
    daemon: Any, model: str, dice: random.Random
) -> None:
    with daemon.client() as client:
        run_keys = [client.create_run(model).run_key for _ in range(RUNS)]
    every: list[Sent] = []
    acknowledged = 0
    for _ in range(CYCLES):
        with Load(daemon.endpoint, run_keys) as load:
            time.sleep(dice.uniform(0.02, 0.3))  # the moment of the kill, not a wait for something
            folder = runtime_folder(daemon)
            assert folder.is_dir()
            daemon.kill()
        every += load.sent
        acknowledged += sum(one.answer is not None for one in load.sent)
        daemon.start()
        assert not folder.exists(), "its successor removes what a killed worker left"
        with daemon.client() as client:
            for run_key in run_keys:
                check(client, run_key, every, all_applied=False)
            for one in load.sent:
                one.ask(client)
            for run_key in run_keys:
                check(client, run_key, every, all_applied=True)
                client.evict_run(run_key)
    assert acknowledged > 10 * CYCLES, "too little was under way to prove anything"
    with daemon.client() as client:
        for one in every:
            one.ask(client)
        for run_key in run_keys:
            check(client, run_key, every, all_applied=True)
    sys.stdout.write(f"{CYCLES} kills, {acknowledged} acknowledged before one, {len(every)} sent\n")


def test_a_killed_creation_is_answered_once_when_it_is_asked_for_again(
    daemon: Any, model: str, dice: random.Random
) -> None:
    request_ids: list[str] = []
    acknowledged: dict[str, str] = {}
    with daemon.client() as client:
        stored = client.worker_status()["runs"]["stored"]

    def create(count: int) -> None:
        with Client(daemon.endpoint, timeout_seconds=RESEND_SECONDS) as client:
            for _ in range(count):
                request_ids.append(uuid.uuid4().hex)
                request_id = request_ids[-1]
                try:
                    acknowledged[request_id] = client.create_run(model, request_id=request_id).run_key
                except ProtocolError as error:
                    if error.code is ErrorCode.DEADLINE_EXCEEDED:
                        return
                    raise

    with ThreadPoolExecutor(2) as threads:
        work = [threads.submit(create, 50) for _ in range(2)]
        time.sleep(dice.uniform(0.05, 0.2))  # the moment of the kill
        daemon.kill()
        for one in work:
            one.result()
    daemon.start()

    with daemon.client() as client:
        again = {key: client.create_run(model, request_id=key).run_key for key in request_ids}
        assert acknowledged.items() <= again.items()
        assert client.worker_status()["runs"]["stored"] == stored + len(request_ids)
        assert {client.read_history(key)["head_seq"] for key in again.values()} == {1}


def run_process(daemon: Any) -> psutil.Process:
    """The process of the only run in memory."""
    (process,) = [one for one in daemon.descendants() if one.ppid() != daemon.pid]
    assert isinstance(process, psutil.Process)
    return process


@pytest.fixture
def client(daemon: Any) -> Iterator[Client]:
    """A client of a daemon with no run in memory."""
    with daemon.client() as client:
        for host in [one for one in daemon.descendants() if one.ppid() != daemon.pid]:
            host.kill()
        yield client


@pytest.fixture
def run_key(client: Client, model: str, daemon: Any, wait_until: Callable[..., None]) -> str:
    wait_until(lambda: client.worker_status()["runs"]["live"] == 0)
    return client.create_run(model).run_key


def test_kills_of_a_run_process_under_load_lose_nothing_acknowledged(
    daemon: Any, client: Client, run_key: str, dice: random.Random, wait_until: Callable[..., None]
) -> None:
    killed: set[int] = set()

    def hosting() -> list[psutil.Process]:
        """Processes of the run that were not killed before."""
        found = []
        for process in daemon.descendants():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid not in killed and process.ppid() != daemon.pid:
                    found.append(process)
        return found

    def is_back() -> bool:
        """The worker may not have noticed the last kill yet: a run that is live by its word needs a new process."""
        return client.get_run(run_key).live and bool(hosting())

    with Load(daemon.endpoint, [run_key]) as load:
        for _ in range(15):
            wait_until(is_back)
            time.sleep(dice.uniform(0.0, 0.02))  # the moment of the kill
            for process in hosting():
                killed.add(process.pid)
                process.kill()

    assert len(killed) >= 10
    check(client, run_key, load.sent, all_applied=False)
    for one in load.sent:
        one.ask(client)
    check(client, run_key, load.sent, all_applied=True)


def failure_of(daemon: Any, ask: Callable[[Client], object], meanwhile: Callable[[], None]) -> ProtocolError:
    """The error that a request ends with when something happens meanwhile."""

    def asked() -> None:
        with daemon.client(60) as client:
            ask(client)

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(asked)
        meanwhile()
        error = future.exception(30)
    assert isinstance(error, ProtocolError), error
    return error


def test_a_run_process_killed_in_an_operation_is_one_error_and_no_trace(
    daemon: Any, client: Client, run_key: str, wait_until: Callable[..., None]
) -> None:
    client.call_operation(run_key, "post", ["a", 1])

    def kill() -> None:
        wait_until(lambda: client.get_run(run_key).status == "executing")
        run_process(daemon).kill()

    error = failure_of(daemon, lambda other: other.call_operation(run_key, "nap", [60]), kill)

    assert error.code is ErrorCode.PROCESS_EXITED
    assert error.information["signal"] == "SIGKILL"
    assert error.information["applied"] == "no"
    assert client.read_variables(run_key, ["entries"], ritual="REVIVE") == {"entries": ["a"]}
    assert client.read_history(run_key)["head_seq"] == 2


def test_requests_that_waited_behind_a_killed_one_are_served_by_the_next_process(
    daemon: Any, client: Client, run_key: str, wait_until: Callable[..., None]
) -> None:
    with ThreadPoolExecutor(1) as thread, daemon.client() as other:

        def kill() -> None:
            wait_until(lambda: client.get_run(run_key).status == "executing")
            waiting.append(thread.submit(other.call_operation, run_key, "post", ["behind", 1]))
            wait_until(lambda: client.worker_status()["runs"]["queued_requests"] == 1)
            run_process(daemon).kill()

        waiting: list[Any] = []
        error = failure_of(daemon, lambda third: third.call_operation(run_key, "nap", [60]), kill)
        assert waiting[0].result(30) == [1, 1]
    assert error.code is ErrorCode.PROCESS_EXITED


def test_a_run_process_killed_in_its_replay_is_one_error_at_once(
    daemon: Any, client: Client, run_key: str, wait_until: Callable[..., None]
) -> None:
    for _ in range(3):
        client.call_operation(run_key, "nap", [0.4])
    client.evict_run(run_key)
    moments: list[float] = []

    def kill() -> None:
        wait_until(lambda: client.worker_status()["restores"])
        run_process(daemon).kill()
        moments.append(time.monotonic())

    error = failure_of(daemon, lambda other: other.restore_run(run_key), kill)

    assert time.monotonic() - moments[0] < 10, "it must not be waited for as if it were slow"
    assert error.code is ErrorCode.PROCESS_EXITED
    assert client.restore_run(run_key).live
    assert client.read_variables(run_key, ["entries"])["entries"] == ["nap"] * 3


def test_a_killed_zygote_costs_each_of_its_runs_one_error_and_is_replaced(
    daemon: Any, client: Client, run_key: str, model: str, wait_until: Callable[..., None]
) -> None:
    idle = client.create_run(model).run_key
    client.call_operation(idle, "post", ["idle", 1])
    client.call_operation(run_key, "post", ["busy", 1])
    (before,) = client.worker_status()["zygotes"]

    def kill() -> None:
        wait_until(lambda: client.get_run(run_key).status == "executing")
        os.kill(before["pid"], 9)

    error = failure_of(daemon, lambda other: other.call_operation(run_key, "nap", [60]), kill)

    assert (error.code, error.information["applied"]) == (ErrorCode.PROCESS_EXITED, "no")
    assert "zygote" in error.message
    assert client.call_operation(idle, "post", ["idle", 1]) == [2, 2]
    assert client.call_operation(run_key, "post", ["busy", 1]) == [2, 2]
    (after,) = client.worker_status()["zygotes"]
    assert after["pid"] != before["pid"]
    wait_until(lambda: not psutil.pid_exists(before["pid"]))
    assert {process.ppid() for process in daemon.descendants()} == {daemon.pid, after["pid"]}


def test_zygotes_killed_under_load_lose_nothing_acknowledged(
    daemon: Any, client: Client, run_key: str, dice: random.Random, wait_until: Callable[..., None]
) -> None:
    with Load(daemon.endpoint, [run_key]) as load:
        for _ in range(3):
            wait_until(lambda: client.get_run(run_key).live)
            time.sleep(dice.uniform(0.0, 0.1))  # the moment of the kill
            for zygote in client.worker_status()["zygotes"]:
                os.kill(zygote["pid"], 9)

    check(client, run_key, load.sent, all_applied=False)
    for one in load.sent:
        one.ask(client)
    check(client, run_key, load.sent, all_applied=True)


def test_a_zygote_killed_without_walls_is_replaced_while_its_folders_are_still_removed(
    make_daemon: Any, model_root: Any, wait_until: Callable[..., None]
) -> None:
    model = model_root.add("litter", LITTER)
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_SANDBOX": "process-only"})
    with daemon.client() as client:
        keys = [client.create_run(model).run_key for _ in range(3)]
        client.call_operation(keys[0], "litter", [5000])
        client.evict_run(keys[1])
        (zygote,) = client.worker_status()["zygotes"]
        os.kill(zygote["pid"], 9)
        wait_until(lambda: "zygote ended" in daemon.logged() or not psutil.pid_exists(zygote["pid"]))
        assert client.call_operation(keys[1], "litter", [0]) == 1
        wait_until(lambda: client.worker_status()["zygotes"][0]["pid"] != zygote["pid"])
    assert daemon.stop() == 0


def test_after_all_this_the_daemon_stops_cleanly_and_leaves_nothing(daemon: Any) -> None:
    folder = runtime_folder(daemon)
    children = daemon.descendants()
    log = daemon.logged()

    assert daemon.stop() == 0

    assert not [child for child in children if child.is_running()]
    assert not folder.exists()
    assert not (Path(daemon.data) / "runtime").exists()
    assert "bug" not in log
    assert "Traceback" not in log
