"""Traces of what actions took, changed and printed, of a real worker."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

TRACED = """
from epicenter import Epicenter

a = 0
b = 0
c = [1]


def both(n):
    global a, b
    a, b = n, n
    Epicenter.record("a", a)
    Epicenter.record("b", b)
    Epicenter.record("c", c)
    print("a and b")
    print("are", n)
    return n


def shout(n):
    print("x" * n)


def fail():
    global a
    a = -1
    Epicenter.record("a", a)
    print("about to fail")
    raise LookupError("no such thing")


def spin():
    total = 0
    for number in range(2_000_000):
        total += number
    return total


for name in ("a", "b", "c"):
    Epicenter.record(name, globals()[name])
"""
CONTEXT = '{"version": "V2", "restorations": {"rewind": {"name": "both"}}}'


@pytest.fixture(scope="module")
def traced(model_root: Any) -> str:
    name: str = model_root.add("traced", TRACED, CONTEXT)
    return name


@pytest.fixture(scope="module")
def start(peer: Any, traced: str) -> Callable[..., str]:
    """``start(…)``: the key of a run that was started and is ready."""

    def make(**fields: Any) -> str:
        run = peer.result("start_run", model_file=traced, wait_seconds=20, **fields)["run"]
        assert run["status"] == "ready"
        return str(run["run_key"])

    return make


def traces(peer: Any, run_key: str, **page: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = peer.result("read_traces", run_key=run_key, **page)["traces"]
    return found


def test_a_trace_tells_what_an_action_took_and_changed(peer: Any, start: Any) -> None:
    run_key = start()
    actor = {"user_key": "ann", "pseudonym_key": "p"}

    peer.result(
        "call_operation",
        run_key=run_key,
        name="both",
        arguments=[3],
        actor=actor,
        reasoning="to see",
        request_id="why",
    )
    peer.result("call_operation", run_key=run_key, name="both", arguments=[3])
    (first, second) = traces(peer, run_key)

    expected = {
        "action_id": "2",
        "seq": 2,
        "request_id": "why",
        "batch": 0,
        "kind": "execute",
        "name": "both",
        "reasoning": "to see",
        "actor": {"user_key": "ann", "pseudonym_key": "p"},
        "origin": "call",
        "outcome": "completed",
        "variables_changed": ["a", "b"],
        "output": "a and b\nare 3",
    }
    assert {key: first[key] for key in expected} == expected
    times = [datetime.fromisoformat(first[name]) for name in ("queued_at", "started_at", "ended_at")]
    assert times == sorted(times)
    assert "exception" not in first
    assert (second["variables_changed"], "reasoning" in second, "actor" in second) == ([], False, False)


def test_every_recorded_action_of_a_list_has_its_own_and_reads_have_none(peer: Any, start: Any) -> None:
    run_key = start(actions=[{"kind": "execute", "name": "both", "arguments": [1]}])
    actions = [
        {"kind": "get", "name": "a"},
        {"kind": "set", "name": "b", "value": 7},
        {"kind": "execute", "name": "spin"},
        {"kind": "execute", "name": "fail"},
        {"kind": "execute", "name": "both", "arguments": [9]},
    ]
    peer.error("perform_actions", run_key=run_key, actions=actions)
    peer.result("read_variables", run_key=run_key, names=["a"])

    found = traces(peer, run_key)

    assert [(one["seq"], one["batch"], one["kind"], one["name"]) for one in found] == [
        (2, 0, "execute", "both"),
        (3, 1, "set", "b"),
        (4, 2, "execute", "spin"),
        (5, 3, "execute", "fail"),
    ]
    assert [one["origin"] for one in found] == ["initial", "call", "call", "call"]
    assert found[2]["cpu_ms"] > 5
    assert found[3]["outcome"] == "error"
    assert found[3]["exception"] == {
        "code": "OPERATION_FAILED",
        "type": "LookupError",
        "message": "fail raised LookupError: no such thing",
    }
    assert (found[3]["variables_changed"], found[3]["output"]) == (["a"], "about to fail")
    assert traces(peer, run_key, after_seq=3, limit=1)[0]["seq"] == 4
    assert peer.result("read_traces", run_key=run_key)["head_seq"] == 5


def test_what_waited_for_approval_says_so(peer: Any, model_root: Any) -> None:
    context = '{"version": "V2", "operations": {"both": {"approval": true}}}'
    model_file = model_root.add("approved", TRACED, context)
    run_key = peer.result("start_run", model_file=model_file, wait_seconds=20)["run"]["run_key"]
    call = {"run_key": run_key, "name": "both", "arguments": [4], "request_id": "approve me"}
    waits = peer.error("call_operation", **call)
    assert waits["code"] == "PENDING_APPROVAL"

    action_id = waits["information"]["action_id"]
    peer.result("decide_action", run_key=run_key, action_id=action_id, approved=True)
    assert peer.result("call_operation", **call) == 4

    (only,) = traces(peer, run_key)
    assert (only["origin"], only["action_id"], only["variables_changed"]) == (
        "approval",
        action_id,
        ["a", "b"],
    )


def test_replays_add_none_and_what_comes_after_is_compared_with_what_was_recorded(
    peer: Any, start: Any
) -> None:
    run_key = start(actions=[{"kind": "execute", "name": "both", "arguments": [1]}])
    before = traces(peer, run_key)

    peer.result("evict_run", run_key=run_key)
    peer.result("restore_run", run_key=run_key)
    assert traces(peer, run_key) == before
    peer.result("call_operation", run_key=run_key, name="both", arguments=[1])
    assert traces(peer, run_key)[-1]["variables_changed"] == []
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    assert len(traces(peer, run_key)) == 2

    clone = peer.result("clone_run", run_key=run_key)["run_key"]
    assert traces(peer, clone) == []
    peer.result("call_operation", run_key=clone, name="both", arguments=[2])
    assert [one["variables_changed"] for one in traces(peer, clone)] == [["a", "b"]]


def test_a_rewind_that_deletes_its_tail_deletes_its_traces(peer: Any, model_root: Any) -> None:
    context = '{"version": "V2", "restorations": {"rewind": {"name": "both", "destructible": true}}}'
    model_file = model_root.add("destructible", TRACED, context)
    both = {"kind": "execute", "name": "both", "arguments": [1]}
    run = peer.result("start_run", model_file=model_file, actions=[both, both], wait_seconds=20)["run"]
    run_key = run["run_key"]

    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    kept = [one["seq"] for one in traces(peer, run_key)]
    peer.result("call_operation", run_key=run_key, name="both", arguments=[5])

    assert kept == [2]
    assert [one["seq"] for one in traces(peer, run_key)] == [2, 3]


@pytest.mark.parametrize("how", ("started without", "created"))
def test_without_traces_nothing_is_written_and_actions_are_logged_all_the_same(
    peer: Any, start: Any, traced: str, how: str
) -> None:
    if how == "created":
        run_key = peer.result("create_run", model_file=traced)["run_key"]
    else:
        run_key = start(reasoning_traces=False)
    peer.result("call_operation", run_key=run_key, name="both", arguments=[3], reasoning="to see")

    assert traces(peer, run_key) == []
    assert peer.result("read_history", run_key=run_key)["head_seq"] == 2


def test_output_is_cut_at_its_beginning(peer: Any, start: Any) -> None:
    run_key = start()
    peer.result("call_operation", run_key=run_key, name="shout", arguments=[10_000])
    peer.result("call_operation", run_key=run_key, name="spin")

    (loud, quiet) = traces(peer, run_key)
    assert loud["output"] == "x" * 2000
    assert "output" not in quiet


def test_many_runs_at_once_have_each_its_own_traces(peer: Any, start: Any) -> None:
    run_keys = [start() for _ in range(4)]
    peer.result("call_operation", run_keys=run_keys, name="both", arguments=[3], reasoning="all")

    for run_key in run_keys:
        (only,) = traces(peer, run_key)
        assert (only["reasoning"], only["variables_changed"]) == ("all", ["a", "b"])
