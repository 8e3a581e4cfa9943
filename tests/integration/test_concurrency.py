"""Many callers at once: one process per run, one action at a time per run, runs independent of each other."""

from collections.abc import Callable
from typing import Any

import psutil


def make_run(peer: Any, model_file: str, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    return run_key


def run_processes(daemon: Any) -> set[int]:
    """Process ids of the run processes: what the zygotes forked."""
    worker = psutil.Process(daemon.pid)
    return {child.pid for zygote in worker.children() for child in zygote.children()}


def test_fifty_clients_restore_one_run_into_one_process(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    run_key = make_run(peer, counter_model)
    peer.result("call_operation", run_key=run_key, name="add", arguments=[3])
    peer.result("evict_run", run_key=run_key)
    before = run_processes(daemon)
    clients = [connect(daemon.endpoint) for _ in range(50)]

    for client in clients:
        client.send("restore_run", run_key=run_key)
    replies = [client.receive() for client in clients]

    assert all(reply["ok"] and reply["result"]["live"] for reply in replies)
    assert len(run_processes(daemon) - before) == 1
    # One host claimed the run once: the next action carries the epoch after the first incarnation's.
    peer.result("call_operation", run_key=run_key, name="add")
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry["epoch"] for entry in entries] == [1, 1, 2]


def test_fifty_reads_and_writes_of_one_evicted_run_share_one_process(
    daemon: Any, peer: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    run_key = make_run(peer, counter_model)
    peer.result("evict_run", run_key=run_key)
    clients = [connect(daemon.endpoint) for _ in range(50)]

    for number, client in enumerate(clients):
        if number % 2:
            client.send("call_operation", run_key=run_key, name="add")
        else:
            client.send("read_variables", run_key=run_key, names=["secret"], ritual="REVIVE")
    replies = [client.receive() for client in clients]

    assert sorted(reply["result"] for reply in replies[1::2]) == list(range(1, 26))
    assert [reply["result"] for reply in replies[::2]] == [{"secret": 5}] * 25
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry["epoch"] for entry in entries] == [1] + [2] * 25


def test_actions_of_one_run_are_performed_in_the_order_they_arrive(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model)
    sent = [
        peer.send("call_operation", run_key=run_key, name="add", arguments=[number]) for number in range(200)
    ]

    replies = [peer.receive() for _ in sent]

    assert [reply["request_id"] for reply in replies] == sent
    assert [reply["run"]["seq"] for reply in replies] == list(range(2, 202))
    numbers = list(range(200))
    assert peer.result("read_variables", run_key=run_key, names=["log"]) == {"log": numbers}
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry["request_id"] for entry in entries[1:]] == sent


def test_requests_of_all_kinds_to_one_run_keep_their_order(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model)
    peer.result("evict_run", run_key=run_key)
    names = ["counter", "label"]
    sent = [
        peer.send("call_operation", run_key=run_key, name="add", arguments=[1]),
        # The run is on its way into memory: a read waits for its turn instead of reading the archive.
        peer.send("read_variables", run_key=run_key, names=["counter"]),
        peer.send("write_variables", run_key=run_key, values={"label": "x"}),
        peer.send("read_variables", run_key=run_key, names=names, ritual="INTER"),
        peer.send("call_operation", run_key=run_key, name="add", arguments=[1], ritual="EXORCISE"),
        # The run is on its way out of memory: what comes now finds it archived.
        peer.send("read_variables", run_key=run_key, names=["counter"]),
        peer.send("read_variables", run_key=run_key, names=["counter"], ritual="INTER"),
        peer.send("evict_run", run_key=run_key),
        peer.send("call_operation", run_key=run_key, name="add", arguments=[1]),
    ]

    replies = {reply["request_id"]: reply for reply in (peer.receive() for _ in sent)}

    first, archived, write, live, exorcise, after, refused, evict, last = (replies[id_] for id_ in sent)
    assert first["result"] == 1
    assert archived["result"] == {"counter": 1}
    assert write["result"] == {"label": "x"}
    assert live["result"] == {"counter": 1, "label": "x"}
    assert exorcise["result"] == 2
    assert (after["result"], after["run"]["served_from"]) == ({"counter": 2}, "archive")
    assert refused["error"]["code"] == "RUN_NOT_LIVE"
    assert evict["ok"]
    assert (last["result"], last["run"]["served_from"]) == (3, "restored")


def test_a_run_that_hangs_does_not_hold_up_another(peer: Any, counter_model: str) -> None:
    hanging, other = make_run(peer, counter_model), make_run(peer, counter_model)
    hang = peer.send("call_operation", run_key=hanging, name="hang")
    sent = [peer.send("call_operation", run_key=other, name="add") for _ in range(20)]
    created = peer.send("create_run", model_file=counter_model)

    replies = [peer.receive() for _ in range(22)]

    order = [reply["request_id"] for reply in replies]
    assert order[-1] == hang
    assert replies[-1]["error"]["code"] == "OPERATION_TIMEOUT"
    assert set(order[:-1]) == {*sent, created}
    assert all(reply["ok"] for reply in replies[:-1])


def test_a_run_can_be_looked_at_while_it_is_at_work(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, metadata={"a": 1})
    nap = peer.send("call_operation", run_key=run_key, name="nap", arguments=[1])
    look = peer.send("get_run", run_key=run_key)
    meta = peer.send("read_metadata", run_key=run_key, names=["a"])
    history = peer.send("read_history", run_key=run_key)

    replies = [peer.receive() for _ in range(4)]

    assert {reply["request_id"] for reply in replies[:3]} == {look, meta, history}
    assert replies[3]["request_id"] == nap
    run = next(reply["result"] for reply in replies if reply["request_id"] == look)
    assert (run["status"], run["live"], run["seq"]) == ("executing", True, 1)


def test_one_request_id_creates_one_run(
    daemon: Any, peer: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    before = peer.result("worker_status")["runs"]["stored"]
    clients = [connect(daemon.endpoint) for _ in range(20)]

    for client in clients:
        client.send("create_run", request_id="single-flight", model_file=counter_model)
    keys = {client.receive()["result"]["run_key"] for client in clients}

    assert len(keys) == 1
    assert peer.result("worker_status")["runs"]["stored"] == before + 1


def test_runs_are_created_side_by_side(daemon: Any, peer: Any, counter_model: str) -> None:
    before = len(run_processes(daemon))
    sent = [peer.send("create_run", model_file=counter_model) for _ in range(30)]

    replies = [peer.receive() for _ in sent]

    assert len({reply["result"]["run_key"] for reply in replies}) == 30
    assert len(run_processes(daemon)) == before + 30


def test_a_full_inbox_refuses_more_and_says_when_to_come_back(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_INBOX_LIMIT": "3"})
    peer = connect(daemon.endpoint)
    run_key = make_run(peer, counter_model)
    sent = [peer.send("call_operation", run_key=run_key, name="nap", arguments=[0.3]) for _ in range(6)]

    replies = {reply["request_id"]: reply for reply in (peer.receive() for _ in sent)}

    served = [replies[id_].get("result") for id_ in sent]
    assert served == [1, 2, 3, 4, None, None]
    error = replies[sent[-1]]["error"]
    assert (error["code"], error["status"], error["retryable"]) == ("CAPACITY", 503, True)
    assert error["information"]["retry_after_seconds"] > 0
    assert peer.result("get_run", run_key=run_key)["seq"] == 5


def test_the_least_recently_used_idle_run_makes_room_and_a_busy_one_does_not(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_LIVE_RUN_LIMIT": "2"})
    peer = connect(daemon.endpoint)
    first, second = make_run(peer, counter_model), make_run(peer, counter_model)
    peer.result("call_operation", run_key=first, name="add")

    third = make_run(peer, counter_model)

    live = {key: peer.result("get_run", run_key=key)["live"] for key in (first, second, third)}
    assert live == {first: True, second: False, third: True}
    naps = [peer.send("call_operation", run_key=key, name="nap", arguments=[1]) for key in (first, third)]
    refused = peer.send("create_run", model_file=counter_model)
    replies = [peer.receive() for _ in range(3)]
    assert replies[0]["request_id"] == refused
    assert replies[0]["error"]["code"] == "CAPACITY"
    assert {reply["request_id"] for reply in replies[1:]} == set(naps)
    assert len(run_processes(daemon)) == 2


def test_a_refused_ephemeral_restore_does_not_hide_the_durable_run(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_LIVE_RUN_LIMIT": "1"})
    peer = connect(daemon.endpoint)
    run_key, busy = make_run(peer, counter_model), make_run(peer, counter_model)
    nap = peer.send("call_operation", run_key=busy, name="nap", arguments=[0.5])
    peer.send("restore_run", run_key=run_key, ephemeral=True)
    assert peer.receive()["error"]["code"] == "CAPACITY"
    assert peer.receive()["request_id"] == nap

    assert peer.result("get_run", run_key=run_key)["ephemeral"] is False
    peer.result("call_operation", run_key=run_key, name="add", arguments=[4])
    peer.result("evict_run", run_key=run_key)
    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 4}
