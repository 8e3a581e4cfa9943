"""What a run process tells a model of its run and of each call, and how an operation asks for approval."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_child import AT_US, Child, Outcome
from worker.channel import pack

MODEL = """
from decimal import Decimal

from epicenter import ApprovalRequired, Epicenter

at_load = Epicenter.run().context
log = []
weights = {}


def seen():
    run = Epicenter.run()
    return {
        "context": run.context,
        "auth": run.auth,
        "approved": run.approved,
        "run_key": run.run_key,
        "action_id": run.action_id,
        "actor": Epicenter.actor(),
    }


def spoil(how):
    run = Epicenter.run()
    attempts = {
        "item": lambda: run.context.__setitem__("a", 1),
        "deep": lambda: run.context["list"][0].update(b=2),
        "list": lambda: run.context["list"].append(3),
        "auth": lambda: run.auth.update(world_role="boss"),
        "field": lambda: setattr(run, "approved", True),
    }
    attempts[how]()


def pay(amount):
    log.append(amount)
    Epicenter.record("log", log)
    Epicenter.require_approval(f"to pay {amount}")
    return len(log)


def careless(amount):
    log.append(amount)
    try:
        raise ApprovalRequired("see me")
    except Exception:
        return "swallowed"


def always():
    raise ApprovalRequired


def _hidden():
    return "hidden"


def values(kind):
    return {"set": {3, 1}, "nan": [float("nan")], "plain": [1], "text": Decimal("1.5")}[kind]
"""
CONTEXT = {"plan": "A", "list": [{"b": 1}], "none": None}
ACTOR = {"user_key": "u", "pseudonym_key": "p", "role": "PARTICIPANT"}
DECISION = {"action_id": "7", "by": None, "at_us": AT_US}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("child_run")
    (path / "model.py").write_text(MODEL)
    return path


@pytest.fixture(scope="module")
def boot(folder: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(**changes: Any) -> Child:
        children.append(child := Child())
        assert child.boot(folder, **changes)[0] == "booted"
        return child

    yield start
    for child in children:
        child.close()


@pytest.fixture(scope="module")
def child(boot: Callable[..., Child]) -> Child:
    return boot(context=pack(CONTEXT))


def test_a_call_sees_context_actor_and_its_own_number(child: Child) -> None:
    seen = child.result("seen", actor=ACTOR, seq=12)

    keys = ("pseudonym_key", "group_key", "group_mandate", "world_key", "world_role")
    who = {**dict.fromkeys(keys), **ACTOR}
    assert seen == {
        "context": CONTEXT,
        "auth": who,
        "approved": False,
        "run_key": "0" * 36,
        "action_id": "12",
        "actor": who,
    }
    assert child.perform({"kind": "get", "name": "at_load"}).value == CONTEXT


def test_nobody_and_no_entry_are_none(child: Child) -> None:
    seen = child.result("seen", inert=True)

    assert (seen["auth"], seen["action_id"], seen["approved"]) == (None, None, False)


def test_a_copied_history_is_that_of_the_run_which_recorded_it(boot: Callable[..., Child]) -> None:
    child = boot(lineage=[[3, "a" * 36], [5, "b" * 36]])

    keys = [child.result("seen", seq=seq)["run_key"] for seq in (2, 3, 4, 5, 6)]
    assert keys == ["a" * 36, "a" * 36, "b" * 36, "b" * 36, "0" * 36]
    assert child.result("seen", inert=True)["run_key"] == "0" * 36


def test_an_approval_is_told_and_is_no_part_of_the_actor(child: Child) -> None:
    seen = child.result("seen", actor={**ACTOR, "approval": DECISION}, seq=7)

    assert seen["approved"]
    assert "approval" not in seen["auth"]
    assert "approval" not in seen["actor"]


@pytest.mark.parametrize("how", ("item", "deep", "list", "auth", "field"))
def test_what_a_call_sees_cannot_be_changed_and_does_not_leak(child: Child, how: str) -> None:
    error = child.error("spoil", how, actor=ACTOR, seq=3)

    assert error["information"]["type"] in ("AttributeError", "TypeError")
    assert child.result("seen", actor=ACTOR, seq=4)["context"] == CONTEXT


def test_a_run_without_context_has_an_empty_one(boot: Callable[..., Child]) -> None:
    assert boot().result("seen")["context"] == {}


def test_an_operation_that_asks_ends_with_that_and_its_reason(child: Child) -> None:
    outcome = child.call("pay", 5, actor=ACTOR, seq=2)

    assert outcome.status == "error"
    assert outcome.value["code"] == "PENDING_APPROVAL"
    assert outcome.value["information"] == {"reason": "to pay 5"}
    assert "to pay 5" in outcome.value["message"]


def test_no_handler_of_errors_takes_the_asking_for_one(child: Child) -> None:
    assert child.error("careless", 5, seq=2)["code"] == "PENDING_APPROVAL"


def test_an_approved_call_goes_on_and_asking_again_is_a_failure(boot: Callable[..., Child]) -> None:
    approved = {"approval": DECISION}
    child = boot()

    assert child.result("pay", 5, actor=approved, seq=2) == 1
    assert child.error("always", actor=approved, seq=3)["code"] == "OPERATION_FAILED"


def test_what_no_entry_records_cannot_ask(child: Child) -> None:
    assert child.error("always", inert=True)["information"]["type"] == "ApprovalRequired"


def test_a_replayed_call_sees_what_was_recorded(boot: Callable[..., Child]) -> None:
    live, again = boot(context=pack(CONTEXT)), boot(context=pack(CONTEXT), event=None)
    calls = [(12, ACTOR, "seen", []), (13, {**ACTOR, "approval": DECISION}, "pay", [5])]
    actions = [pack({"kind": "execute", "name": name, "arguments": given}) for _, _, name, given in calls]

    recorded = [live.call(name, *given, actor=actor, seq=seq).digest for seq, actor, name, given in calls]
    entries = [
        [seq, AT_US, pack(actor), action, None]
        for (seq, actor, _, _), action in zip(calls, actions, strict=True)
    ]
    again.send("replay", 1, entries)

    assert again.receive() == ["replayed", 1, recorded, True]


def test_a_hidden_function_is_an_operation_only_where_it_is_attached(boot: Callable[..., Child]) -> None:
    attached, plain = boot(attached=["_hidden"]), boot()

    assert attached.result("_hidden") == "hidden"
    assert plain.error("_hidden")["code"] == "UNKNOWN_OPERATION"
    for child, offered in ((attached, True), (plain, False)):
        child.n += 1
        child.send("introspect", child.n)
        functions = {one["name"] for one in child.outcome().value["functions"]}
        assert ("_hidden" in functions) is offered


def test_a_replay_calls_what_was_attached_then_and_leaves_it_hidden(boot: Callable[..., Child]) -> None:
    action = pack({"kind": "execute", "name": "_hidden", "arguments": []})
    expected = boot(attached=["_hidden"]).call("_hidden").digest
    child = boot(event=None)
    child.send("replay", 1, [[2, AT_US, None, action, None]])

    assert child.receive() == ["replayed", 1, [expected], True]
    assert child.error("_hidden")["code"] == "UNKNOWN_OPERATION"


def told(outcome: Outcome) -> list[str]:
    return [warning["code"] for warning in outcome.warnings if warning["path"].startswith("result")]


def test_a_result_that_json_has_not_is_told_where_results_are_judged(boot: Callable[..., Child]) -> None:
    judged, plain = boot(judged=True), boot()

    codes = {kind: told(judged.call("values", kind)) for kind in ("set", "nan", "plain", "text")}
    assert codes == {"set": ["NOT_JSON"], "nan": ["NON_FINITE", "NOT_JSON"], "plain": [], "text": []}
    assert told(plain.call("values", "set")) == []
