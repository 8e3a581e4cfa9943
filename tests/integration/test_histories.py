"""What ``read_history`` and ``read_events`` keep and show: outcomes, rewound tails, and nothing that a guard hides."""

import json
from typing import Any

import pytest

MODEL = """
from epicenter import Epicenter

creator = "ada"
profile = {"name": "ada"}
open_value = 0
total = 0


def step(by=1):
    global total
    total += by
    Epicenter.record("creator", f"{creator} {total}")
    Epicenter.record("profile.name", creator)
    Epicenter.record("total", total)
    return total


def fail():
    raise ValueError("not today")
"""


def privilege(regex: str) -> dict[str, Any]:
    """Participants, and whoever is less, may not read it."""
    return {"privilege": {"regex": regex, "domain": "variable", "grant": "disallow", "read": "PARTICIPANT"}}


CONTEXT = {
    "protections": {"guards": [privilege("^creator$"), privilege(r"^profile(\.name)?$")]},
    "restorations": {"rewind": {"name": "step"}},
}
PARTICIPANT = {"group_mandate": "PARTICIPANT", "user_key": "p"}
FACILITATOR = {"group_mandate": "FACILITATOR", "world_role": "Boss"}
SYSTEM = {"is_system": True}


@pytest.fixture(scope="module")
def model_file(model_root: Any) -> str:
    name: str = model_root.add("histories", MODEL, json.dumps(CONTEXT))
    return name


@pytest.fixture
def run_key(peer: Any, model_file: str) -> str:
    key: str = peer.result("create_run", model_file=model_file)["run_key"]
    return key


def play(peer: Any, run_key: str) -> None:
    actions = [
        {"kind": "set", "name": "creator", "value": "bob"},
        {"kind": "set", "name": "profile.name", "value": "bob"},
        {"kind": "set", "name": "open_value", "value": 3},
        {"kind": "execute", "name": "step", "arguments": [2]},
    ]
    peer.result(
        "perform_actions",
        run_key=run_key,
        actions=actions,
        actor=FACILITATOR,
        request_id="played " + run_key[-20:],
    )


def entries(peer: Any, run_key: str, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = peer.result("read_history", run_key=run_key, **fields)["entries"]
    return found


def states(peer: Any, run_key: str, **fields: Any) -> list[dict[str, Any]]:
    events = peer.result("read_events", run_key=run_key, **fields)["events"]
    return [event for event in events if event["kind"] == "state"]


def test_each_action_is_an_entry_with_who_when_and_what_came_of_it(peer: Any, run_key: str) -> None:
    play(peer, run_key)
    peer.error("call_operation", run_key=run_key, name="fail")
    boot, creator, _, _, step, failed = entries(peer, run_key, actor=SYSTEM)
    assert boot["kind"] == "boot"
    assert (creator["name"], creator["value"], creator["outcome"]) == (
        "creator",
        "bob",
        {"status": "completed", "result": "bob"},
    )
    assert (step["name"], step["arguments"], step["outcome"]["result"]) == ("step", [2], 2)
    assert step["actor"] == FACILITATOR
    assert step["at"].endswith("Z")
    assert step["request_id"] == creator["request_id"] == "played " + run_key[-20:]
    assert (creator["batch"], step["batch"]) == (0, 3)
    assert failed["outcome"]["status"] == "error"
    assert failed["outcome"]["error"]["code"] == "OPERATION_FAILED"
    assert failed["outcome"]["error"]["information"]["message"] == "not today"


@pytest.mark.parametrize("live", (True, False))
@pytest.mark.parametrize("actor", (PARTICIPANT, None))
def test_a_history_hides_what_its_reader_may_not_read(
    peer: Any, run_key: str, actor: dict[str, Any] | None, live: bool
) -> None:
    play(peer, run_key)
    if not live:
        peer.result("evict_run", run_key=run_key)
    by = {} if actor is None else {"actor": actor}
    _, creator, profile, free, step = entries(peer, run_key, **by)
    for entry in (creator, profile):
        assert entry["guarded"] == ["value", "outcome.result"]
        assert entry["outcome"] == {"status": "completed"}
        assert not {"value", "outcome_digest"} & set(entry)
    assert (free["value"], "guarded" in free) == (3, False)
    assert step["outcome"]["result"] == 2


@pytest.mark.parametrize("live", (True, False))
def test_events_read_hide_what_their_reader_may_not_read(peer: Any, run_key: str, live: bool) -> None:
    play(peer, run_key)
    if not live:
        peer.result("evict_run", run_key=run_key)
    (state,) = states(peer, run_key, actor=PARTICIPANT)
    assert state["actions"][:2] == [
        {"kind": "set", "name": "creator"},
        {"kind": "set", "name": "profile.name"},
    ]
    assert state["actions"][2] == {"kind": "set", "name": "open_value", "value": 3}
    assert state["variables"] == {"total": 2}
    assert sorted(state["guarded"]) == [
        "actions[0].value",
        "actions[1].value",
        "variables.creator",
        "variables.profile.name",
    ]


def test_the_event_of_a_creation_hides_what_its_reader_may_not_read(peer: Any, run_key: str) -> None:
    play(peer, run_key)
    copy = peer.result("clone_run", run_key=run_key)["run_key"]
    shown: list[dict[str, Any]] = [
        peer.result("read_events", run_key=copy, actor=actor)["events"][0] for actor in (PARTICIPANT, SYSTEM)
    ]
    assert [event["kind"] for event in shown] == ["created", "created"]
    assert shown[0]["variables"] == {"total": 2}
    assert sorted(shown[0]["guarded"]) == ["variables.creator", "variables.profile.name"]
    assert shown[1]["variables"] == {"creator": "bob 2", "profile.name": "bob", "total": 2}
    assert "guarded" not in shown[1]


@pytest.mark.parametrize("actor", (FACILITATOR, SYSTEM))
def test_who_may_read_them_sees_all_values(peer: Any, run_key: str, actor: dict[str, Any]) -> None:
    play(peer, run_key)
    shown = entries(peer, run_key, actor=actor)
    (state,) = states(peer, run_key, actor=actor)
    assert [entry.get("value") for entry in shown[1:4]] == ["bob", "bob", 3]
    assert state["variables"] == {"creator": "bob 2", "profile.name": "bob", "total": 2}
    assert not any("guarded" in one for one in [*shown, state])


def test_a_set_that_failed_hides_its_error(peer: Any, run_key: str) -> None:
    peer.error("write_variables", run_key=run_key, values={"profile.name": "x", "creator.no.such": "secret"})
    shown = entries(peer, run_key, actor=PARTICIPANT)
    assert "secret" not in json.dumps(shown)
    assert "secret" not in json.dumps(states(peer, run_key, actor=PARTICIPANT))


def test_guards_that_cannot_be_read_refuse_the_page_but_not_to_the_platform(
    peer: Any, model_root: Any, wait_until: Any
) -> None:
    name = model_root.add("broken", MODEL, json.dumps(CONTEXT))
    key = peer.result("create_run", model_file=name)["run_key"]
    play(peer, key)
    peer.result("evict_run", run_key=key)
    (model_root.path / "broken" / "model.ctx2").write_text("{")
    for kind in ("read_history", "read_events"):
        wait_until(
            lambda kind=kind: peer.ask(kind, run_key=key).get("error", {}).get("code") == "INVALID_CONTEXT"
        )
        assert peer.ask(kind, run_key=key, actor=SYSTEM)["ok"]


def test_a_tail_that_was_rewound_is_kept_and_marked(peer: Any, run_key: str) -> None:
    for by in (1, 2, 3):
        peer.result("call_operation", run_key=run_key, name="step", arguments=[by])
    peer.result("rewind_run", run_key=run_key, rewind_count=2)
    peer.result("call_operation", run_key=run_key, name="step", arguments=[9])
    shown = entries(peer, run_key)
    assert [(entry["kind"], entry.get("arguments"), entry.get("rewound_by")) for entry in shown] == [
        ("boot", None, None),
        ("execute", [1], None),
        ("execute", [2], 5),
        ("execute", [3], 5),
        ("rewind", None, None),
        ("execute", [9], None),
    ]
    assert (shown[4]["to_seq"], shown[4]["rewind_count"]) == (2, 2)
    assert [entry["outcome"]["result"] for entry in shown if entry["kind"] == "execute"] == [1, 3, 6, 10]


def test_a_destructible_rewind_deletes_its_tail_and_the_events_stay(peer: Any, run_key: str) -> None:
    for by in (1, 2, 3):
        peer.result("call_operation", run_key=run_key, name="step", arguments=[by])
    context = {"restorations": {"rewind": {"destructible": True}}}
    peer.result("rewind_run", run_key=run_key, rewind_count=2, model_context=context)
    peer.result("call_operation", run_key=run_key, name="step", arguments=[9])
    shown = entries(peer, run_key)
    assert [(entry["seq"], entry["kind"], entry.get("arguments")) for entry in shown] == [
        (1, "boot", None),
        (2, "execute", [1]),
        (3, "execute", [9]),
    ]
    told = [state["actions"][0]["arguments"] for state in states(peer, run_key)]
    assert told == [[1], [2], [3], [9]]


def test_a_history_of_large_values_is_read_page_by_page_and_replayed(peer: Any, model_file: str) -> None:
    key = peer.result("create_run", model_file=model_file)["run_key"]
    texts = [str(number) * 1_500_000 for number in range(5)]
    for text in texts:
        peer.result("write_variables", run_key=key, values={"open_value": text})
    seen: list[dict[str, Any]] = []
    pages = 0
    while True:
        page = peer.result("read_history", run_key=key, after_seq=seen[-1]["seq"] if seen else 0)
        seen += page["entries"]
        pages += 1
        if seen[-1]["seq"] == page["head_seq"]:
            break
    assert [entry["value"] for entry in seen[1:]] == texts
    assert pages > 1
    peer.result("evict_run", run_key=key)
    assert peer.result("restore_run", run_key=key)["seq"] == 6
    assert peer.result("read_variables", run_key=key, names=["open_value"]) == {"open_value": texts[-1]}
