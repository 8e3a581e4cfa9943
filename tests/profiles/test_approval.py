"""Requests that wait for approval: durably, without a trace of what they did, decided once, performed once."""

from typing import Any

import pytest

from tests.profiles.models import LEDGER, LEDGER_CONTEXT

PLAYER = {"user_key": "ann", "role": "PARTICIPANT"}
CHIEF = {"user_key": "bob", "role": "FACILITATOR"}


@pytest.fixture(scope="module")
def ledger(model_root: Any) -> str:
    name: str = model_root.add("ledger", LEDGER, LEDGER_CONTEXT)
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, ledger: str) -> Any:
    return make_daemon(model_root.path)


@pytest.fixture
def run_key(peer: Any, ledger: str) -> str:
    """A run that was created, not started: approval is for all runs."""
    permit = {"read_lock": "PARTICIPANT", "write_lock": "PARTICIPANT"}
    return str(peer.result("create_run", model_file=ledger, permit=permit)["run_key"])


def read(peer: Any, run_key: str) -> tuple[int, list[Any]]:
    values = peer.result("read_variables", run_key=run_key, names=["total", "log"], ritual="REVIVE")
    return values["total"], values["log"]


def profile(peer: Any, run_key: str) -> dict[str, Any]:
    found: dict[str, Any] = peer.result("get_profile", run_key=run_key)
    return found


def entries(peer: Any, run_key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = peer.result("read_history", run_key=run_key)["entries"]
    return found


def ask(peer: Any, run_key: str, name: str, *arguments: Any, **fields: Any) -> dict[str, Any]:
    """A call that waits: its error."""
    fields = {"actor": PLAYER, **fields}
    error: dict[str, Any] = peer.error(
        "call_operation", run_key=run_key, name=name, arguments=list(arguments), **fields
    )
    assert (error["code"], error["status"]) == ("PENDING_APPROVAL", 409), error
    return error


def decide(peer: Any, run_key: str, action_id: str, *, approved: bool, **fields: Any) -> Any:
    fields = {"actor": CHIEF, **fields}
    return peer.result("decide_action", run_key=run_key, action_id=action_id, approved=approved, **fields)


def test_what_a_call_did_before_it_asked_is_taken_back(peer: Any, run_key: str) -> None:
    peer.result("call_operation", run_key=run_key, name="pay", arguments=[5])

    error = ask(peer, run_key, "pay", 50)

    assert error["information"]["action_id"] == "3"
    assert error["information"]["reason"] == "to pay 50"
    assert error["information"]["roles"] == ["FACILITATOR"]
    assert read(peer, run_key) == (95, [5])
    assert peer.result("read_variables", run_key=run_key, names=["total"], ritual="NONE") == {"total": 95}
    assert [entry["kind"] for entry in entries(peer, run_key)] == ["boot", "execute"]


def test_a_run_that_waits_is_paused_and_says_for_what(peer: Any, run_key: str) -> None:
    ask(peer, run_key, "pay", 50, request_id="who-waits-1")

    shown = profile(peer, run_key)
    assert (shown["status"], peer.result("get_run", run_key=run_key)["status"]) == ("paused", "paused")
    assert shown["pending"] == {
        "action_id": "2",
        "name": "pay",
        "arguments": [50],
        "reason": "to pay 50",
        "actor": PLAYER,
        "request_id": "who-waits-1",
        "index": 0,
        "actions": 1,
        "roles": ["FACILITATOR"],
    }


@pytest.mark.parametrize("name", ("pay", "close"))
@pytest.mark.parametrize("live", (True, False))
def test_an_approved_call_is_performed_as_asked_and_recorded_once_with_its_decision(
    peer: Any, run_key: str, name: str, live: bool
) -> None:
    error = ask(peer, run_key, name, 50, request_id=f"asked-{name}-{live}")
    if not live:
        peer.result("evict_run", run_key=run_key)

    assert decide(peer, run_key, "2", approved=True) == {"action_id": "2", "approved": True}

    _, entry = entries(peer, run_key)
    assert error["information"]["action_id"] == "2"
    assert (entry["seq"], entry["name"], entry["arguments"], entry["actor"]) == (2, name, [50], PLAYER)
    assert {**entry["approval"], "at": None} == {"action_id": "2", "approved": True, "by": CHIEF, "at": None}
    shown = profile(peer, run_key)
    assert (shown["status"], shown["pending"]) == ("ready", None)

    expected = [50, True] if name == "pay" else {"closed": 50, "approved": True}
    again = peer.result(
        "call_operation",
        run_key=run_key,
        name=name,
        arguments=[50],
        actor=PLAYER,
        request_id=f"asked-{name}-{live}",
    )
    assert again == expected

    peer.result("evict_run", run_key=run_key)
    before = read(peer, run_key)
    assert before == ((50, [50]) if name == "pay" else (100, [50]))
    assert peer.result("call_operation", run_key=run_key, name="step") == before[0] + 1


def test_a_denied_call_leaves_an_entry_that_no_replay_performs(peer: Any, run_key: str) -> None:
    ask(peer, run_key, "pay", 50, request_id="denied-1")

    decide(peer, run_key, "2", approved=False)

    again = peer.error(
        "call_operation", run_key=run_key, name="pay", arguments=[50], actor=PLAYER, request_id="denied-1"
    )
    assert (again["code"], again["status"]) == ("APPROVAL_DENIED", 403)
    assert profile(peer, run_key)["status"] == "ready"
    _, entry, marker = entries(peer, run_key)
    assert (entry["outcome"]["error"]["code"], entry["rewound_by"]) == ("APPROVAL_DENIED", 3)
    assert (entry["approval"]["approved"], entry["approval"]["by"]) == (False, CHIEF)
    assert (marker["kind"], marker["to_seq"]) == ("rewind", 1)
    assert read(peer, run_key) == (100, [])
    assert peer.result("call_operation", run_key=run_key, name="step") == 101
    peer.result("evict_run", run_key=run_key)
    assert peer.result("call_operation", run_key=run_key, name="step") == 102
    assert peer.result("clone_run", run_key=run_key)["seq"] == 5


def test_while_a_run_is_paused_it_is_read_and_nothing_else(peer: Any, run_key: str) -> None:
    peer.result("call_operation", run_key=run_key, name="step")
    ask(peer, run_key, "close", "q1")

    others: dict[str, dict[str, Any]] = {
        "call_operation": {"name": "step"},
        "write_variables": {"values": {"total": 1}},
        "perform_actions": {"actions": [{"kind": "execute", "name": "step"}]},
        "rewind_run": {"rewind_count": 1},
    }
    for kind, fields in others.items():
        error = peer.error(kind, run_key=run_key, **fields)
        assert (error["code"], error["status"]) == ("RUN_PAUSED", 409)
        assert error["information"]["action_id"] == "3"
    assert (
        peer.result("call_operation", run_keys=[run_key], name="step")[run_key]["error"]["code"]
        == "RUN_PAUSED"
    )
    assert read(peer, run_key) == (101, [])
    assert peer.result("perform_actions", run_key=run_key, actions=[{"kind": "get", "name": "total"}])
    clone = peer.result("clone_run", run_key=run_key)["run_key"]
    assert profile(peer, clone)["pending"] is None
    assert peer.result("call_operation", run_key=clone, name="step") == 102
    peer.result("update_profile", run_key=run_key, tags=["waits"])
    assert profile(peer, run_key)["status"] == "paused"


def test_the_same_request_is_told_the_same_until_it_is_decided(peer: Any, run_key: str) -> None:
    first = ask(peer, run_key, "close", "q1", request_id="again-1")

    assert ask(peer, run_key, "close", "q1", request_id="again-1") == first
    other = peer.error(
        "call_operation", run_key=run_key, name="close", arguments=["q2"], request_id="again-1"
    )
    assert other["code"] == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("approved", (True, False))
def test_a_decision_is_made_once(peer: Any, run_key: str, approved: bool) -> None:
    ask(peer, run_key, "close", "q1")
    answer = decide(peer, run_key, "2", approved=approved, request_id=f"once-{approved}")

    assert decide(peer, run_key, "2", approved=approved, request_id=f"once-{approved}") == answer
    for word in (True, False):
        error = peer.error("decide_action", run_key=run_key, action_id="2", approved=word, actor=CHIEF)
        assert (error["code"], error["status"]) == ("ALREADY_DECIDED", 409)
        assert error["information"]["approved"] is approved
    assert read(peer, run_key)[1] == (["q1"] if approved else [])


@pytest.mark.parametrize("action_id", ("9", "1", "0", "x", "²", "99999999999999999999999"))
def test_an_action_that_does_not_wait_is_not_found(peer: Any, run_key: str, action_id: str) -> None:
    ask(peer, run_key, "close", "q1")

    error = peer.error("decide_action", run_key=run_key, action_id=action_id, approved=True, actor=CHIEF)

    assert (error["code"], error["status"]) == ("ACTION_NOT_FOUND", 404)


@pytest.mark.parametrize(
    ("name", "actor", "may"),
    (
        ("close", PLAYER, False),
        ("close", {"user_key": "x"}, False),
        ("close", {"role": "REVIEWER"}, False),
        ("close", {"role": "AUTHOR"}, True),
        ("close", {"is_system": True}, True),
        ("pay", PLAYER, False),
        ("pay", CHIEF, True),
    ),
)
def test_only_who_has_the_role_decides(
    peer: Any, run_key: str, name: str, actor: dict[str, Any], may: bool
) -> None:
    ask(peer, run_key, name, 50)

    reply = peer.ask("decide_action", run_key=run_key, action_id="2", approved=True, actor=actor)

    assert reply["ok"] is may
    if not may:
        assert (reply["error"]["code"], reply["error"]["status"]) == ("PERMIT_VIOLATION", 403)
        assert profile(peer, run_key)["status"] == "paused"


def test_of_several_actions_each_is_decided_and_all_are_performed_as_one(peer: Any, run_key: str) -> None:
    actions = [
        {"kind": "set", "name": "total", "value": 40},
        {"kind": "execute", "name": "close", "arguments": ["a"]},
        {"kind": "execute", "name": "pay", "arguments": [30]},
        {"kind": "get", "name": "total"},
    ]
    fields = {"run_key": run_key, "actions": actions, "actor": PLAYER, "request_id": "several-1"}

    first = peer.error("perform_actions", **fields)
    assert (first["code"], first["information"]["action_id"], first["information"]["index"]) == (
        "PENDING_APPROVAL",
        "3",
        1,
    )
    assert read(peer, run_key) == (100, [])
    decide(peer, run_key, "3", approved=True)
    second = peer.error("perform_actions", **fields)
    assert (second["information"]["action_id"], second["information"]["index"]) == ("4", 2)
    assert read(peer, run_key) == (100, [])
    decide(peer, run_key, "4", approved=True)

    results = peer.result("perform_actions", **fields)
    assert [result.get("result", result.get("value")) for result in results] == [
        40,
        {"closed": "a", "approved": True},
        [10, True],
        10,
    ]
    assert [(entry["seq"], "approval" in entry) for entry in entries(peer, run_key)] == [
        (1, False),
        (2, False),
        (3, True),
        (4, True),
    ]
    peer.result("evict_run", run_key=run_key)
    assert read(peer, run_key) == (10, ["a", 30])


def test_an_approved_call_that_loses_its_process_leaves_the_run_as_it_was(peer: Any, run_key: str) -> None:
    ask(peer, run_key, "die")
    decide(peer, run_key, "2", approved=True, actor=PLAYER)

    shown = profile(peer, run_key)
    assert (shown["pending"], shown["status"], shown["finish_reason"]) == (None, "failed", "worker_lost")
    assert [entry["kind"] for entry in entries(peer, run_key)] == ["boot"]
    assert peer.result("call_operation", run_key=run_key, name="step") == 101


def test_who_asks_while_others_are_at_work_is_numbered_behind_them(peer: Any, run_key: str) -> None:
    first = peer.send("call_operation", run_key=run_key, name="nap", arguments=[0.3])
    peer.send("call_operation", run_key=run_key, name="close", arguments=["q1"], actor=PLAYER)

    replies = {reply["request_id"]: reply for reply in (peer.receive(), peer.receive())}
    assert replies.pop(first)["result"] == 101
    (asked,) = replies.values()
    assert asked["error"]["information"]["action_id"] == "3"
    decide(peer, run_key, "3", approved=True)
    assert [entry["name"] for entry in entries(peer, run_key)[1:]] == ["nap", "close"]


def test_an_initial_action_that_asks_pauses_the_course_which_goes_on_when_it_is_decided(
    peer: Any, ledger: str
) -> None:
    actions = [
        {"kind": "execute", "name": "step", "arguments": []},
        {"kind": "execute", "name": "pay", "arguments": [50]},
        {"kind": "execute", "name": "step", "arguments": [5]},
    ]
    run = peer.result("start_run", model_file=ledger, actions=actions, interactive=False, wait_seconds=20)[
        "run"
    ]
    assert (run["status"], run["pending"]["action_id"], run["seq"]) == ("paused", "3", 2)

    decide(peer, run["run_key"], "3", approved=True)

    shown = peer.result("get_profile", run_key=run["run_key"], wait_seconds=20)
    assert (shown["status"], shown["result"], shown["finish_reason"], shown["pending"]) == (
        "ready",
        56,
        "completed",
        None,
    )
    assert [entry.get("name") for entry in entries(peer, run["run_key"])] == [None, "step", "pay", "step"]


def test_an_initial_action_that_is_denied_fails_the_run(peer: Any, ledger: str) -> None:
    actions = [{"kind": "execute", "name": "pay", "arguments": [50]}, {"kind": "execute", "name": "step"}]
    run_key = peer.result("start_run", model_file=ledger, actions=actions, wait_seconds=20)["run"]["run_key"]

    decide(peer, run_key, "2", approved=False)

    shown = peer.result("get_profile", run_key=run_key, wait_seconds=20)
    assert (shown["status"], shown["finish_reason"], shown["error"]["code"]) == (
        "failed",
        "failed_init",
        "APPROVAL_DENIED",
    )
    assert (shown["pending"], read(peer, run_key)) == (None, (100, []))


def test_a_closed_run_decides_nothing(peer: Any, run_key: str) -> None:
    ask(peer, run_key, "close", "q1")
    peer.result("update_run", run_key=run_key, closed=True)

    error = peer.error("decide_action", run_key=run_key, action_id="2", approved=True, actor=CHIEF)

    assert error["code"] == "RUN_CLOSED"


def test_a_run_in_memory_only_waits_and_is_decided_too(peer: Any, ledger: str) -> None:
    permit = {"read_lock": "PARTICIPANT", "write_lock": "PARTICIPANT"}
    run_key = peer.result("create_run", model_file=ledger, ephemeral=True, permit=permit)["run_key"]
    peer.result("call_operation", run_key=run_key, name="step")
    ask(peer, run_key, "pay", 50)

    assert read(peer, run_key) == (101, [])
    decide(peer, run_key, "3", approved=True)
    assert read(peer, run_key) == (51, [50])


def test_who_is_told_of_statuses_hears_of_the_pause_and_of_what_is_taken_back_nothing(
    peer: Any, ledger: str
) -> None:
    target = {"function": {"service": "nobody", "function": "f"}}
    run_key = peer.result("start_run", model_file=ledger, on_status_change=target, wait_seconds=20)["run"][
        "run_key"
    ]

    def statuses() -> list[str]:
        events = peer.result("read_events", run_key=run_key)["events"]
        return [event["to"] for event in events if event["kind"] == "status"]

    ask(peer, run_key, "pay", 50)
    assert statuses() == ["starting", "executing", "ready", "executing", "paused"]
    decide(peer, run_key, "2", approved=True)
    assert statuses()[5:] == ["executing", "ready"]
    peer.result("call_operation", run_key=run_key, name="step")
    assert statuses()[7:] == ["executing", "ready"]
