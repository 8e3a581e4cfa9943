"""A state-changing request sent again with its request_id: the same answer, applied once."""

from collections.abc import Callable
from typing import Any

import pytest

ACTIONS = [
    {"kind": "execute", "name": "add", "arguments": [1]},
    {"kind": "get", "name": "counter"},
    {"kind": "set", "name": "label", "value": "set"},
]
# Every type that is answered once per request_id, with what it needs; all but the first name a run.
TYPES: dict[str, dict[str, Any]] = {
    "create_run": {},
    "call_operation": {"name": "add", "arguments": [2]},
    "call_failing": {"name": "fail"},
    "write_variables": {"values": {"counter": 50, "label": "w"}},
    "perform_actions": {"actions": ACTIONS},
    "update_run": {"marked": True},
    "close_run": {"closed": True},
    "update_metadata": {"push": {"list": "x"}},
    "rewind_run": {"rewind_count": 1},
    "clone_run": {"tracking_key": "copy"},
}
WIRE = {"call_failing": "call_operation", "close_run": "update_run"}


def make_run(peer: Any, model_file: str, **fields: Any) -> str:
    """A run with two steps."""
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    for number in (3, 4):
        peer.result("call_operation", run_key=run_key, name="add", arguments=[number])
    return run_key


def request(kind: str, run_key: str, model_file: str) -> tuple[str, dict[str, Any]]:
    target = {"model_file": model_file} if kind == "create_run" else {"run_key": run_key}
    return WIRE.get(kind, kind), {**target, **TYPES[kind]}


def footprint(peer: Any, run_key: str) -> Any:
    """All that a request could have changed: how many runs there are, the run, its history, its metadata."""
    return (
        peer.result("worker_status")["runs"]["stored"],
        peer.result("get_run", run_key=run_key)["last_modified"],
        peer.result("read_history", run_key=run_key),
        peer.result("read_metadata", run_key=run_key, names=["list"], ignorable=True),
    )


def outcome(reply: dict[str, Any]) -> Any:
    return (reply["ok"], reply.get("result"), reply.get("error"))


@pytest.mark.parametrize("between", ("nothing", "eviction", "another request"))
@pytest.mark.parametrize("kind", TYPES)
def test_a_repeated_request_is_answered_alike_and_applied_once(
    peer: Any, counter_model: str, fresh_id: Callable[[], str], kind: str, between: str
) -> None:
    run_key = make_run(peer, counter_model)
    type_, fields = request(kind, run_key, counter_model)
    request_id = fresh_id()
    first = peer.ask(type_, request_id=request_id, **fields)
    if between == "eviction":
        peer.result("evict_run", run_key=run_key)
    if between == "another request" and kind != "close_run":
        peer.result("call_operation", run_key=run_key, name="add", arguments=[7])
    before = footprint(peer, run_key)

    again = peer.ask(type_, request_id=request_id, **fields)

    assert outcome(again) == outcome(first)
    assert first["ok"] is (kind != "call_failing")
    assert footprint(peer, run_key) == before


@pytest.mark.parametrize("kind", TYPES)
def test_a_request_id_used_for_another_request_is_refused(
    peer: Any, counter_model: str, fresh_id: Callable[[], str], kind: str
) -> None:
    run_key = make_run(peer, counter_model)
    other = make_run(peer, counter_model)
    type_, fields = request(kind, run_key, counter_model)
    request_id = fresh_id()
    peer.ask(type_, request_id=request_id, **fields)
    before = footprint(peer, other)

    errors = [
        peer.error("call_operation", request_id=request_id, run_key=other, name="add", arguments=[9]),
        peer.error("update_metadata", request_id=request_id, run_key=other, set={"list": 1}),
        peer.error("update_run", request_id=request_id, run_key=other, hidden=True),
        peer.error("rewind_run", request_id=request_id, run_key=other, to_seq=1),
        peer.error("clone_run", request_id=request_id, run_key=other),
        peer.error("create_run", request_id=request_id, model_file=counter_model, tracking_key="no"),
        peer.error("restore_run", request_id=request_id, run_key=other),
        peer.error("perform_actions", request_id=request_id, run_key=other, actions=ACTIONS[:1]),
    ]

    assert {(error["code"], error["status"]) for error in errors} == {("REQUEST_ID_REUSED", 409)}
    assert footprint(peer, other) == before


def test_how_long_one_waits_and_traces_is_not_part_of_the_request(
    peer: Any, counter_model: str, fresh_id: Callable[[], str]
) -> None:
    run_key = make_run(peer, counter_model)
    request_id = fresh_id()
    first = peer.ask("call_operation", request_id=request_id, run_key=run_key, name="add")

    again = peer.ask(
        "call_operation",
        request_id=request_id,
        run_key=run_key,
        name="add",
        deadline_seconds=5,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )

    assert outcome(again) == outcome(first)


def test_another_actor_makes_another_request(
    peer: Any, counter_model: str, fresh_id: Callable[[], str]
) -> None:
    run_key = make_run(peer, counter_model)
    request_id = fresh_id()
    peer.result("call_operation", request_id=request_id, run_key=run_key, name="add", actor={"user_key": "a"})

    error = peer.error(
        "call_operation", request_id=request_id, run_key=run_key, name="add", actor={"user_key": "b"}
    )

    assert error["code"] == "REQUEST_ID_REUSED"


def test_requests_are_remembered_over_the_death_of_the_worker(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    runs = {kind: make_run(peer, counter_model) for kind in TYPES}
    first = {}
    for kind, run_key in runs.items():
        type_, fields = request(kind, run_key, counter_model)
        first[kind] = outcome(peer.ask(type_, request_id=f"id-{kind}", **fields))
    before = {kind: footprint(peer, run_key) for kind, run_key in runs.items()}
    daemon.kill()
    peer = connect(daemon.start().endpoint)

    for kind, run_key in runs.items():
        type_, fields = request(kind, run_key, counter_model)
        assert outcome(peer.ask(type_, request_id=f"id-{kind}", **fields)) == first[kind]
    assert {kind: footprint(peer, run_key) for kind, run_key in runs.items()} == before


@pytest.mark.parametrize("kind", TYPES)
def test_ten_clients_at_once_with_one_request_id_act_once(
    daemon: Any,
    counter_model: str,
    connect: Callable[..., Any],
    fresh_id: Callable[[], str],
    kind: str,
) -> None:
    peer = connect(daemon.endpoint)
    run_key = make_run(peer, counter_model)
    runs, _, history, _ = footprint(peer, run_key)
    type_, fields = request(kind, run_key, counter_model)
    request_id = fresh_id()
    clients = [connect(daemon.endpoint) for _ in range(10)]

    for client in clients:
        client.send(type_, request_id=request_id, **fields)
    outcomes = [outcome(client.receive()) for client in clients]

    assert outcomes == [outcomes[0]] * 10
    stored, _, after, metadata = footprint(peer, run_key)
    assert stored - runs == (kind in ("create_run", "clone_run"))
    added = {"call_operation": 1, "call_failing": 1, "write_variables": 2, "perform_actions": 2}
    assert after["head_seq"] - history["head_seq"] == added.get(kind, int(kind == "rewind_run"))
    if kind == "update_metadata":
        assert metadata == {"list": ["x"]}


def test_one_of_two_different_requests_at_once_with_one_request_id_is_refused(
    daemon: Any,
    peer: Any,
    counter_model: str,
    connect: Callable[..., Any],
    fresh_id: Callable[[], str],
) -> None:
    run_key = make_run(peer, counter_model)
    request_id = fresh_id()
    peer.send("call_operation", request_id=request_id, run_key=run_key, name="nap", arguments=[0.2])
    peer.send("call_operation", request_id=request_id, run_key=run_key, name="nap", arguments=[0.1])

    refused, served = peer.receive(), peer.receive()

    assert refused["error"]["code"] == "REQUEST_ID_REUSED"
    assert served["result"] == 8


def test_a_retry_to_many_runs_acts_only_where_it_had_not(
    peer: Any, counter_model: str, fresh_id: Callable[[], str]
) -> None:
    keys = [make_run(peer, counter_model) for _ in range(3)]
    peer.result("update_run", run_key=keys[1], closed=True)
    request_id = fresh_id()
    first = peer.result("call_operation", request_id=request_id, run_keys=keys, name="add")
    assert first[keys[1]]["error"]["code"] == "RUN_CLOSED"
    peer.result("update_run", run_key=keys[1], closed=False)
    peer.result("call_operation", run_key=keys[0], name="add", arguments=[100])

    again = peer.result("call_operation", request_id=request_id, run_keys=keys, name="add")

    assert [answer["result"] for answer in again.values()] == [8, 8, 8]
    seqs = [peer.result("get_run", run_key=key)["seq"] for key in keys]
    assert seqs == [5, 4, 4]
    # Those that were not asked to do anything were left where they are.
    assert [peer.result("get_run", run_key=key)["live"] for key in keys] == [True, False, False]


@pytest.mark.parametrize("kind", ("update_run", "update_metadata"))
def test_a_retry_without_ritual_to_many_runs_acts_once_each(
    peer: Any, counter_model: str, fresh_id: Callable[[], str], kind: str
) -> None:
    keys = [make_run(peer, counter_model) for _ in range(3)]
    request_id = fresh_id()
    first = peer.result(kind, request_id=request_id, run_keys=keys, **TYPES[kind])
    before = [footprint(peer, key) for key in keys]

    assert peer.result(kind, request_id=request_id, run_keys=keys, **TYPES[kind]) == first
    assert [footprint(peer, key) for key in keys] == before


def test_a_context_given_to_restore_is_applied_once(
    peer: Any, counter_model: str, fresh_id: Callable[[], str]
) -> None:
    run_key = make_run(peer, counter_model)
    first_id = fresh_id()
    contexts = [{"presets": {"motto": motto}} for motto in ("first", "second")]
    for request_id, context in zip((first_id, fresh_id()), contexts, strict=True):
        peer.result("evict_run", run_key=run_key)
        peer.result("restore_run", request_id=request_id, run_key=run_key, execution_context=context)
    peer.result("evict_run", run_key=run_key)

    again = peer.result("restore_run", request_id=first_id, run_key=run_key, execution_context=contexts[0])

    assert again["execution_context"] == contexts[0]
    assert peer.result("get_run", run_key=run_key)["execution_context"] == contexts[1]


def test_a_request_that_left_no_trace_is_tried_anew(
    peer: Any, model_root: Any, fresh_id: Callable[[], str]
) -> None:
    request_id = fresh_id()
    error = peer.error("create_run", request_id=request_id, model_file="later/model.py")
    assert error["code"] == "MODEL_NOT_FOUND"
    model_root.add("later", "x = 1\n")

    assert peer.result("create_run", request_id=request_id, model_file="later/model.py")["seq"] == 1


def test_an_answer_outlives_a_rewind_that_deletes_its_entries(
    peer: Any, model_root: Any, fresh_id: Callable[[], str]
) -> None:
    context = '{"restorations": {"rewind": {"name": "add", "destructible": true}}}'
    model_file = model_root.add("forgetful", "total = 0\ndef add(n):\n    return n * 10\n", context)
    run_key = peer.result("create_run", model_file=model_file)["run_key"]
    request_id = fresh_id()
    fields = {"request_id": request_id, "run_key": run_key, "name": "add", "arguments": [4]}
    assert peer.result("call_operation", **fields) == 40
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    assert peer.result("get_run", run_key=run_key)["seq"] == 1

    assert peer.result("call_operation", **fields) == 40
    assert peer.result("get_run", run_key=run_key)["seq"] == 1
