"""A disk that fails below a real worker under load: refused, and never lied about; over when the fault is.

While disk or database refuse, writes answer LOG_UNAVAILABLE, reads from memory go on, and runs that nobody
wrote to stay in memory. Whatever was acknowledged is in the log, at its seq, once. What was refused with
``applied`` "no" is not there; "unknown" is there or not, and asked again with its request_id it is there once.
"""

import errno
import random
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

MODEL = """
from epicenter import Epicenter

entries = []
total = 0
filling = ""


def post(key, amount):
    global total
    entries.append(key)
    total += amount
    Epicenter.record("total", total)
    return [len(entries), total]


def peek():
    return len(entries)


def fill(size):
    global filling
    filling = "x" * size
    return filling
"""
CONTEXT = '{"version": "V2", "operations": {"peek": {"inert": true}}}'
RUNS = 3
CLIENTS = 4
SPORADIC = 25


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    name: str = model_root.add("ledger", MODEL, CONTEXT)
    return name


@dataclass(frozen=True)
class Rig:
    """A worker on a disk that fails on command. ``connect`` makes a client that never repeats."""

    daemon: Any
    model: str
    faults: Any
    calls: Any
    connect: Callable[[str], Any]

    def client(self) -> Any:
        return self.connect(self.daemon.endpoint)

    def create(self, client: Any) -> str:
        run_key: str = client.result("create_run", model_file=self.model)["run_key"]
        return run_key

    def restart(self) -> Any:
        """Kill the worker where it stands, mend the disk, start it again; a client of the new one."""
        self.daemon.kill()
        self.faults.disarm()
        self.daemon.start()
        return self.client()


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, model: str, disk_faults: Any) -> Any:
    return make_daemon(model_root.path, env=disk_faults.env)


@pytest.fixture
def rig(
    daemon: Any, model: str, disk_faults: Any, disk_calls: Any, one_shot: Callable[[str], Any]
) -> Iterator[Rig]:
    yield Rig(daemon, model, disk_faults, disk_calls, one_shot)
    disk_faults.disarm()


@dataclass
class Sent:
    """One request as its client saw it. ``applied``: what the last refusal said of it, None before any."""

    request_id: str
    run_key: str
    amount: int
    answer: Any = None
    seq: int | None = None
    applied: str | None = None

    def ask(self, client: Any) -> dict[str, Any]:
        """Send it once and take down what came of it."""
        reply: dict[str, Any] = client.ask(
            "call_operation",
            request_id=self.request_id,
            run_key=self.run_key,
            name="post",
            arguments=[self.request_id, self.amount],
        )
        if reply["ok"]:
            assert self.answer in (None, reply["result"]), self
            assert self.seq in (None, reply["run"]["seq"]), self
            self.answer, self.seq = reply["result"], reply["run"]["seq"]
        else:
            self.applied = reply["error"]["information"].get("applied")
        return reply


@dataclass
class Load:
    """Clients that post to runs, each request sent once, until they are stopped or their worker is gone."""

    connect: Callable[[str], Any]
    endpoint: str
    run_keys: list[str]
    sent: list[Sent] = field(default_factory=list)
    wrong: list[Any] = field(default_factory=list)
    acknowledged: int = 0
    refused: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._clients = [self.connect(self.endpoint) for _ in range(CLIENTS)]
        self._threads = [
            threading.Thread(target=self._post, args=(client, random.Random(seed).choice))
            for seed, client in enumerate(self._clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def _post(self, client: Any, choose: Callable[[Any], Any]) -> None:
        while not self._stop.is_set():
            sent = Sent(uuid.uuid4().hex, choose(self.run_keys), choose((1, 2, 5)))
            self.sent.append(sent)
            try:
                reply = sent.ask(client)
            except TimeoutError as error:
                if not client.given_up.is_set():
                    self.wrong.append(error)
                return
            if reply["ok"]:
                self.acknowledged += 1  # a count that is off by one in a race does no harm
                continue
            self.refused += 1
            refusal = reply["error"]
            if refusal["code"] != "LOG_UNAVAILABLE" or not refusal["retryable"] or sent.applied is None:
                self.wrong.append(refusal)

    def give_up(self) -> None:
        """Wait for no reply any more: the worker is dead."""
        self._stop.set()
        for client in self._clients:
            client.given_up.set()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.wrong, self.wrong[:3]


def history(client: Any, run_key: str) -> list[dict[str, Any]]:
    """All entries after the boot."""
    page = client.result("read_history", run_key=run_key, limit=10_000)
    assert len(page["entries"]) == page["head_seq"] < 10_000
    entries: list[dict[str, Any]] = page["entries"][1:]
    return entries


def check(client: Any, run_key: str, sent: list[Sent], *, all_applied: bool) -> dict[str, Any]:
    """What the module's docstring promises, of one run; returns its values."""
    entries = history(client, run_key)
    assert [entry["seq"] for entry in entries] == list(range(2, len(entries) + 2)), "gaps"
    seqs: dict[str, list[int]] = {}
    for entry in entries:
        seqs.setdefault(entry["request_id"], []).append(entry["seq"])
    mine = {one.request_id: one for one in sent if one.run_key == run_key}
    for one in mine.values():
        found = seqs.get(one.request_id, [])
        if one.answer is not None or all_applied:
            assert len(found) == 1, (one, found)
            assert one.seq in (None, *found), (one, found)
        else:
            assert len(found) <= (one.applied != "no"), (one, found)
    assert seqs.keys() <= mine.keys(), "entries that nobody asked for"
    values: dict[str, Any] = client.result(
        "read_variables", run_key=run_key, names=["entries", "total"], ritual="REVIVE"
    )
    assert values["entries"] == [entry["request_id"] for entry in entries]
    assert values["total"] == sum(mine[entry["request_id"]].amount for entry in entries)
    return values


def settle(client: Any, run_keys: list[str], sent: list[Sent]) -> None:
    """Ask again for all that was not acknowledged; then everything is there, once."""
    for run_key in run_keys:
        check(client, run_key, sent, all_applied=False)
    for one in sent:
        if one.answer is None:
            reply = one.ask(client)
            assert reply["ok"], (one, reply)
    for run_key in run_keys:
        check(client, run_key, sent, all_applied=True)


def outage(client: Any) -> dict[str, Any] | None:
    """What ``worker_status`` says of the log."""
    found: dict[str, Any] | None = client.result("worker_status")["log"].get("outage")
    return found


def live(client: Any, run_key: str) -> bool:
    """Whether a run is in memory, which reading it does not change."""
    found: bool = client.result("get_run", run_key=run_key)["live"]
    return found


FAULTS = {
    "no space for a write": ("WRITE", errno.ENOSPC, 9),
    "I/O error at a write": ("WRITE", errno.EIO, 6),
    "I/O error at a synchronisation": ("SYNC", errno.EIO, 3),
    "read-only": ("WRITE TRUNCATE SYNC OPEN", errno.EROFS, 0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_under_load_refuses_writes_keeps_what_is_in_memory_and_loses_nothing(
    fault: str, rig: Rig, wait_until: Callable[..., None]
) -> None:
    names, error_number, skip = FAULTS[fault]
    calls = rig.calls(0)
    for name in names.split():
        calls |= rig.calls[name]
    client = rig.client()
    run_keys = [rig.create(client) for _ in range(RUNS)]
    idle = Sent("idle" + uuid.uuid4().hex, rig.create(client), 7)
    assert idle.ask(client)["ok"]
    sent = [idle]

    with Load(rig.connect, rig.daemon.endpoint, run_keys) as load:
        wait_until(lambda: load.acknowledged > 20)
        rig.faults.arm(calls, error_number, skip=skip)
        wait_until(lambda: load.refused > 20)
        observe_outage(client, rig.model, idle)
        rig.faults.disarm()
        healed = load.acknowledged
        assert client.ask("call_operation", run_key=idle.run_key, name="peek")["ok"]
        again = Sent(uuid.uuid4().hex, idle.run_key, 1)
        sent.append(again)
        assert again.ask(client)["ok"], "the first write after the fault is served"
        wait_until(lambda: load.acknowledged > healed + 20)
        assert outage(client) is None
    sent += load.sent
    values = {run_key: check(client, run_key, sent, all_applied=False) for run_key in run_keys}
    assert all(live(client, run_key) for run_key in run_keys)
    wait_until(lambda: "log available again" in rig.daemon.logged())

    with Load(rig.connect, rig.daemon.endpoint, run_keys) as load:
        rig.faults.arm(calls, error_number, skip=skip)
        wait_until(lambda: load.refused > 5)
        rig.daemon.kill()
        load.give_up()
    rig.faults.disarm()
    sent += load.sent
    logged = rig.daemon.logged()
    rig.daemon.start()

    assert logged.count('"log unavailable"') == 2
    assert logged.count("LOG_UNAVAILABLE") < 10 * RUNS, "not a line for each refused write"
    client = rig.client()
    for run_key, before in values.items():
        restored = check(client, run_key, sent, all_applied=False)
        assert restored["entries"][: len(before["entries"])] == before["entries"]
    settle(client, [*run_keys, idle.run_key], sent)


def observe_outage(client: Any, model: str, idle: Sent) -> None:
    """What the worker does while its disk fails."""
    assert client.result("ping")["worker_id"]
    found = outage(client)
    assert found is not None
    assert found["count"] > 0
    assert "worker.db" in found["message"]
    for _ in range(2):
        read = client.ask("read_variables", run_key=idle.run_key, names=["total"])
        assert (read["result"], read["run"]["served_from"]) == ({"total": 7}, "memory")
        refused = client.refusal("call_operation", run_key=idle.run_key, name="post", arguments=["never", 1])
        assert (refused["code"], refused["status"], refused["retryable"]) == ("LOG_UNAVAILABLE", 503, True)
        assert refused["information"]["applied"] in ("no", "unknown")
        assert refused["information"]["since"] == found["since"]
    assert client.result("call_operation", run_key=idle.run_key, name="peek") == 1
    assert client.refusal("create_run", model_file=model)["code"] == "LOG_UNAVAILABLE"
    for type_, fields in (
        ("rewind_run", {"to_seq": 1}),
        ("update_run", {"closed": True}),
        ("update_metadata", {"set": {"a": 1}}),
        ("clone_run", {}),
        ("migrate_run", {"episode_key": "e"}),
    ):
        assert client.refusal(type_, run_key=idle.run_key, **fields)["code"] == "LOG_UNAVAILABLE", type_
    assert live(client, idle.run_key), "nothing that was refused cost the run its process"


def test_single_faults_at_drawn_moments_lose_nothing_and_need_no_restart(
    rig: Rig, wait_until: Callable[..., None]
) -> None:
    dice = random.Random(20261122)
    client = rig.client()
    run_keys = [rig.create(client) for _ in range(RUNS)]
    with Load(rig.connect, rig.daemon.endpoint, run_keys) as load:
        for _ in range(SPORADIC):
            kind, error = dice.choice(
                [("WRITE", errno.ENOSPC), ("WRITE", errno.EIO), ("SYNC", errno.EIO), ("TRUNCATE", errno.EIO)]
            )
            match = dice.choice(["worker.db", "worker.db-wal"])
            calls = rig.calls[kind] | (rig.calls.SYNC if kind == "TRUNCATE" else rig.calls(0))
            rig.faults.arm(
                calls, error, match=match, skip=dice.randrange(40), times=dice.choice([1, 1, 2, 5])
            )
            wait_until(lambda: rig.faults.fired > 0)
            so_far = load.acknowledged
            wait_until(lambda so_far=so_far: load.acknowledged > so_far)
        rig.faults.disarm()
        rig.daemon.kill()
        load.give_up()
    assert load.refused
    rig.daemon.start()

    settle(rig.client(), run_keys, load.sent)


def test_what_a_failed_synchronisation_refused_is_there_after_a_crash_or_not_but_never_twice(
    rig: Rig,
) -> None:
    """The frame that commits stands in the write-ahead log already: the answer must not say that nothing happened."""
    client = rig.client()
    request_id = uuid.uuid4().hex
    stored = client.result("worker_status")["runs"]["stored"]
    rig.faults.arm(rig.calls.SYNC, errno.EIO, match="worker.db-wal")
    refused = client.refusal("create_run", model_file=rig.model, request_id=request_id)
    assert refused["information"]["applied"] == "unknown"
    client = rig.restart()

    assert client.result("worker_status")["runs"]["stored"] in (stored, stored + 1)
    run_key = client.result("create_run", model_file=rig.model, request_id=request_id)["run_key"]
    assert client.result("create_run", model_file=rig.model, request_id=request_id)["run_key"] == run_key
    assert client.result("worker_status")["runs"]["stored"] == stored + 1


def test_a_commit_after_a_failed_one_leaves_nothing_of_it_for_a_crash_to_bring_back(rig: Rig) -> None:
    client = rig.client()
    run_key = rig.create(client)
    lost, kept = Sent(uuid.uuid4().hex, run_key, 1), Sent(uuid.uuid4().hex, run_key, 2)
    rig.faults.arm(rig.calls.SYNC, errno.EIO, match="worker.db-wal")
    assert lost.ask(client)["error"]["information"]["applied"] == "unknown"
    rig.faults.disarm()
    assert kept.ask(client)["ok"]
    client = rig.restart()

    assert check(client, run_key, [lost, kept], all_applied=False)["entries"] == [kept.request_id]
    assert lost.ask(client)["ok"]
    assert check(client, run_key, [lost, kept], all_applied=True)["total"] == 3


def test_a_read_that_fails_is_one_typed_error_and_the_next_one_is_served(rig: Rig) -> None:
    client = rig.client()
    archived, other = (rig.create(client) for _ in range(2))
    sent = Sent(uuid.uuid4().hex, archived, 3)
    assert sent.ask(client)["ok"]
    client.result("evict_run", run_key=archived)
    assert Sent(uuid.uuid4().hex, other, 4).ask(client)["ok"]
    reads: list[tuple[str, dict[str, Any]]] = [
        ("read_variables", {"run_key": archived, "names": ["total"]}),
        ("get_run", {"run_key": archived}),
        ("read_history", {"run_key": other}),
        ("call_operation", {"run_key": archived, "name": "post", "arguments": ["x", 1]}),
    ]
    rig.faults.arm(rig.calls.READ, errno.EIO)
    for type_, fields in reads:
        error = client.refusal(type_, **fields)
        assert (error["code"], error["retryable"]) == ("LOG_UNAVAILABLE", True)
        assert str(Path(rig.daemon.data) / "worker.db") in error["message"]
    assert client.result("read_variables", run_key=other, names=["total"]) == {"total": 4}
    status = client.result("worker_status")
    assert status["runs"]["stored"] is None
    assert status["log"]["read_failures"]["count"] >= len(reads)
    rig.faults.disarm()

    for type_, fields in reads:
        assert client.ask(type_, **fields)["ok"]
    assert rig.daemon.logged().count("log cannot be read") == 1


def test_a_worker_whose_disk_fails_while_it_stops_exits_cleanly_and_comes_back(rig: Rig) -> None:
    client = rig.client()
    run_key = rig.create(client)
    sent = Sent(uuid.uuid4().hex, run_key, 1)
    assert sent.ask(client)["ok"]
    every = rig.calls.WRITE | rig.calls.SYNC | rig.calls.TRUNCATE
    rig.faults.arm(every, errno.EIO, match="/data")
    assert rig.daemon.stop() == 0
    rig.faults.disarm()
    assert "Traceback" not in rig.daemon.logged()
    rig.daemon.start()

    check(rig.client(), run_key, [sent], all_applied=True)


@pytest.fixture
def small(make_daemon: Any, model_root: Any, model: str, small_disk: Any) -> Any:
    """A worker whose data folder is on a small disk."""
    command = (*small_disk.enter, sys.executable, "-m", "worker.cli.main")
    return make_daemon(model_root.path, data=f"{small_disk.path}/data", command=command)


def test_a_disk_that_is_really_full_and_then_not(
    small: Any, small_disk: Any, model: str, one_shot: Callable[[str], Any], wait_until: Callable[..., None]
) -> None:
    client = one_shot(small.endpoint)
    run_keys = [client.result("create_run", model_file=model)["run_key"] for _ in range(RUNS)]
    with Load(one_shot, small.endpoint, run_keys) as load:
        wait_until(lambda: load.acknowledged > 20)
        small_disk.fill()
        wait_until(lambda: load.refused > 20)
        assert outage(client) is not None
        assert client.refusal("create_run", model_file=model)["information"]["applied"] == "no"
        small_disk.free()
        healed = load.acknowledged
        wait_until(lambda: load.acknowledged > healed + 20)
        small_disk.fill()
        wait_until(lambda: outage(client) is not None)
        small.kill()
        load.give_up()
    small_disk.free()
    small.start()

    settle(one_shot(small.endpoint), run_keys, load.sent)
    assert small.stop() == 0
