"""Runs that may be asked for some operations only, or for nothing at all once they have begun."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.profiles.models import LEDGER, LEDGER_CONTEXT

STEP = {"kind": "execute", "name": "step", "arguments": []}
RESET = {"kind": "execute", "name": "reset", "arguments": []}


@pytest.fixture(scope="module")
def ledger(model_root: Any) -> str:
    name: str = model_root.add("ledger", LEDGER, LEDGER_CONTEXT)
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, ledger: str) -> Any:
    return make_daemon(model_root.path)


@pytest.fixture(scope="module")
def start(peer: Any, ledger: str) -> Callable[..., str]:
    def start(*attached: str, **fields: Any) -> str:
        listed = {"attached_functions": [{"function": name} for name in attached]} if attached else {}
        answer = peer.result("start_run", model_file=ledger, wait_seconds=20, **listed, **fields)
        assert answer["run"]["status"] == "ready", answer
        return str(answer["run"]["run_key"])

    return start


def total(peer: Any, run_key: str) -> int:
    values: dict[str, int] = peer.result("read_variables", run_key=run_key, names=["total"])
    return values["total"]


def kinds(peer: Any, run_key: str) -> list[str]:
    return [entry["kind"] for entry in peer.result("read_history", run_key=run_key)["entries"]]


ROUTES: dict[str, dict[str, Any]] = {
    "call_operation": {"type_": "call_operation", "name": "reset"},
    "perform_actions": {"type_": "perform_actions", "actions": [STEP, RESET]},
    "hidden": {"type_": "call_operation", "name": "_audit"},
    "unknown": {"type_": "call_operation", "name": "no_such"},
}


@pytest.mark.parametrize("ritual", ("REANIMATE", "REVIVE", "EXORCISE", "RESURRECT"))
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("live", (True, False))
def test_a_call_outside_the_list_is_refused_by_every_route_and_leaves_nothing(
    peer: Any, start: Callable[..., str], route: str, ritual: str, live: bool
) -> None:
    run_key = start("step")
    if not live:
        peer.result("evict_run", run_key=run_key)
    fields = dict(ROUTES[route])
    kind = fields.pop("type_")

    error = peer.error(kind, run_key=run_key, ritual=ritual, **fields)

    assert (error["code"], error["status"]) == ("OPERATION_NOT_ATTACHED", 403)
    assert error["information"]["index"] == (1 if kind == "perform_actions" else 0)
    assert kinds(peer, run_key) == ["boot"]
    assert total(peer, run_key) == 100


def test_many_runs_are_judged_one_by_one(peer: Any, start: Callable[..., str]) -> None:
    narrow, wide = start("step"), start("step", "reset")

    results = peer.result("call_operation", run_keys=[narrow, wide], name="reset")

    assert results[narrow]["error"]["code"] == "OPERATION_NOT_ATTACHED"
    assert results[wide] == {"ok": True, "result": 0}


def test_a_refused_call_is_a_line_of_the_log(daemon: Any, peer: Any, start: Callable[..., str]) -> None:
    run_key = start("step")
    request_id = peer.send("call_operation", run_key=run_key, name="reset")
    peer.receive()

    (line,) = [line for line in daemon.logged().splitlines() if request_id in line]
    assert "operation not attached" in line
    assert run_key in line
    assert '"operation": "reset"' in line


def test_private_operations_are_reached_only_where_they_are_attached(
    peer: Any, start: Callable[..., str]
) -> None:
    plain, attached = start(), start("reset", "_audit")

    assert peer.error("call_operation", run_key=plain, name="reset")["code"] == "OPERATION_NOT_ATTACHED"
    assert peer.error("call_operation", run_key=plain, name="_audit")["code"] == "UNKNOWN_OPERATION"
    assert peer.result("call_operation", run_key=plain, name="step") == 101
    assert peer.result("call_operation", run_key=attached, name="reset") == 0
    assert peer.result("call_operation", run_key=attached, name="_audit") == {"total": 0, "log": []}
    peer.result("evict_run", run_key=attached)
    assert peer.result("call_operation", run_key=attached, name="_audit") == {"total": 0, "log": []}


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    (
        ({"attached_functions": []}, "INVALID_REQUEST", "attached_functions"),
        ({"attached_functions": [{"function": "stop"}]}, "INVALID_REQUEST", "'stop'"),
        ({"attached_functions": [{"function": "_nothing"}]}, "INVALID_REQUEST", "'_nothing'"),
        ({"attached_functions": [{"service": "other.py", "function": "step"}]}, "INVALID_REQUEST", "other.py"),
        ({"attached_functions": [{"function": "step"}], "actions": [STEP, RESET]}, "OPERATION_NOT_ATTACHED", "reset"),
        ({"actions": [RESET]}, "OPERATION_NOT_ATTACHED", "private"),
    ),
)  # fmt: skip
def test_a_list_that_the_model_or_the_actions_do_not_fit_starts_nothing(
    peer: Any, ledger: str, fields: dict[str, Any], code: str, words: str
) -> None:
    before = peer.result("query_runs", model_file=ledger)["total_results"]

    error = peer.error("start_run", model_file=ledger, **fields)

    assert error["code"] == code
    assert words in error["message"]
    assert peer.result("query_runs", model_file=ledger)["total_results"] == before


def test_the_own_model_may_be_named_and_stays_apart_from_the_operation(peer: Any, ledger: str) -> None:
    listed = [{"service": ledger, "function": "step"}]
    run = peer.result("start_run", model_file=ledger, attached_functions=listed, wait_seconds=20)["run"]

    assert run["attached_functions"] == listed
    assert peer.result("call_operation", run_key=run["run_key"], name="step") == 101


def test_a_clone_inherits_the_list_and_may_only_narrow_it(peer: Any, start: Callable[..., str]) -> None:
    source = start("step", "reset", "_audit")
    peer.result("call_operation", run_key=source, name="_audit")
    peer.result("call_operation", run_key=source, name="step")

    same = peer.result("clone_run", run_key=source)["run_key"]
    less = peer.result("clone_run", run_key=source, attached_functions=[{"function": "step"}])["run_key"]
    more = peer.error("clone_run", run_key=less, attached_functions=[{"function": "reset"}])

    assert peer.result("call_operation", run_key=same, name="reset") == 0
    assert peer.result("call_operation", run_key=less, name="step") == 102
    assert peer.error("call_operation", run_key=less, name="_audit")["code"] == "OPERATION_NOT_ATTACHED"
    assert (more["code"], more["information"]["name"]) == ("OPERATION_NOT_ATTACHED", "reset")
    peer.result("evict_run", run_key=less)
    assert peer.result("call_operation", run_key=less, name="step") == 103


CHANGES: dict[str, dict[str, Any]] = {
    "call_operation": {"name": "step"},
    "inert": {"type_": "call_operation", "name": "peek"},
    "write_variables": {"values": {"total": 1}},
    "perform_actions": {"actions": [{"kind": "get", "name": "total"}, {"kind": "set", "name": "total", "value": 1}]},
    "rewind_run": {"rewind_count": 1},
}  # fmt: skip


@pytest.mark.parametrize("route", CHANGES)
@pytest.mark.parametrize("live", (True, False))
def test_a_run_that_is_not_interactive_is_changed_by_no_route(
    peer: Any, start: Callable[..., str], route: str, live: bool
) -> None:
    run_key = start(interactive=False, actions=[STEP])
    if not live:
        peer.result("evict_run", run_key=run_key)
    fields = dict(CHANGES[route])

    error = peer.error(fields.pop("type_", route), run_key=run_key, **fields)

    assert (error["code"], error["status"]) == ("NOT_INTERACTIVE", 400)
    assert kinds(peer, run_key) == ["boot", "execute"]
    assert total(peer, run_key) == 101


ALLOWED: dict[str, dict[str, Any]] = {
    "get_run": {},
    "get_profile": {},
    "read_variables": {"names": ["total"], "ritual": "REVIVE"},
    "perform_actions": {"actions": [{"kind": "get", "name": "total"}]},
    "read_history": {},
    "read_events": {},
    "introspect_run": {},
    "restore_run": {},
    "clone_run": {},
    "evict_run": {},
    "update_metadata": {"set": {"a": 1}},
    "read_metadata": {"names": ["a"], "ignorable": True},
    "update_run": {"tracking_key": "t"},
    "update_profile": {"evaluation": {"score": 0.5}, "tags": ["seen"]},
}


@pytest.mark.parametrize("route", ALLOWED)
def test_a_run_that_is_not_interactive_is_read_kept_and_judged_as_any_other(
    peer: Any, start: Callable[..., str], route: str
) -> None:
    run_key = start(interactive=False, actions=[STEP])

    peer.result(route, run_key=run_key, **ALLOWED[route])

    assert kinds(peer, run_key) == ["boot", "execute"]


def test_a_run_that_is_not_interactive_is_complete_when_it_has_begun(
    peer: Any, start: Callable[..., str]
) -> None:
    profile = peer.result("get_profile", run_key=start(interactive=False, actions=[STEP]))

    assert (profile["finish_reason"], profile["result"]) == ("completed", 101)


CONTEXT = {"plan": "A", "limits": [{"max": 5}]}


def test_the_context_is_the_same_at_loading_and_in_every_call_and_cannot_be_changed(
    peer: Any, start: Callable[..., str]
) -> None:
    run_key = start(context=CONTEXT)
    actor = {"user_key": "u", "role": "FACILITATOR"}

    first = peer.result("call_operation", run_key=run_key, name="seen", actor=actor)
    error = peer.error("call_operation", run_key=run_key, name="spoil", actor=actor)
    second = peer.result("call_operation", run_key=run_key, name="seen", actor=actor)

    assert first["context"] == CONTEXT
    assert (first["run_key"], first["action_id"], first["approved"]) == (run_key, "2", False)
    assert first["auth"]["user_key"] == "u"
    assert error["information"]["type"] == "TypeError"
    assert (second["context"], second["action_id"]) == (CONTEXT, "4")
    assert peer.result("read_variables", run_key=run_key, names=["started_with"])["started_with"] == CONTEXT


def test_a_replayed_call_sees_who_asked_then_and_the_context_of_the_run(
    peer: Any, start: Callable[..., str]
) -> None:
    run_key = start(context=CONTEXT)
    peer.result(
        "call_operation", run_key=run_key, name="seen", actor={"user_key": "then", "role": "FACILITATOR"}
    )
    peer.result("evict_run", run_key=run_key)

    again = peer.result(
        "call_operation", run_key=run_key, name="seen", actor={"user_key": "now", "role": "FACILITATOR"}
    )
    clone = peer.result("clone_run", run_key=run_key)["run_key"]

    assert (again["auth"]["user_key"], again["context"]) == ("now", CONTEXT)
    assert peer.result("read_variables", run_key=clone, names=["started_with"], ritual="REVIVE") == {
        "started_with": CONTEXT
    }


def test_a_context_has_a_size_and_is_a_map(peer: Any, ledger: str) -> None:
    large = peer.error("start_run", model_file=ledger, context={"text": "x" * 70_000})
    assert (large["code"], large["information"]["path"]) == ("INVALID_REQUEST", "context")
    assert peer.error("start_run", model_file=ledger, context=[1])["code"] == "INVALID_REQUEST"
