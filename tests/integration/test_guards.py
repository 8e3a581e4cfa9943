"""The guards of a model, held on every route; a refused action leaves no trace."""

import json
from typing import Any

import pytest

MODEL = """
from epicenter import Epicenter

Price = [1, 2, 3]
Demand = 5
creator = "ada"
profile = {"name": "ada", "open": 1}
budget = 10
sealed = None
decision = 0
step = 0
fixed = 1
free = 0
weird = object()


def advance():
    global step
    step += 1
    return step


def reset():
    global step
    step = 0
    return step


def peek():
    return Price


for name in ("Price", "Demand", "creator", "profile", "free"):
    Epicenter.record(name, globals()[name])
"""
GUARDS: list[dict[str, Any]] = [
    {
        "role": {
            "regex": r"^(Price|Demand)(\[.*\])?$",
            "role": "Sales",
            "domain": "variable",
            "grant": "allow",
        }
    },
    {"role": {"regex": "^Demand$", "role": "Boss", "domain": "variable", "grant": "allow"}},
    {
        "objectType": "privilege",
        "regex": "^creator$",
        "domain": "variable",
        "grant": "disallow",
        "read": "PARTICIPANT",
        "write": "PARTICIPANT",
        "execute": "PARTICIPANT",
    },
    {"privilege": {"regex": r"^profile\.name$", "domain": "variable", "grant": "allow", "read": "AUTHOR"}},
    {"privilege": {"regex": "^reset$", "domain": "operation", "grant": "allow", "execute": "FACILITATOR"}},
    {"input": {"regex": "^budget$", "operator": "<=", "operand": 100}},
    {"input": {"regex": "^fixed$"}},
    {"overwrite": {"regex": "^sealed$", "initial": None}},
    {"relative": {"regex": "^decision$", "key": "step", "operator": "<", "value": 2}},
    {"overwrite": {"regex": "^weird$", "initial": None}},
]
CONTEXT = {"operations": {"peek": {"inert": True}}, "protections": {"guards": GUARDS}}
SALES = {"role": "PARTICIPANT", "world_role": "Sales"}
OTHER = {"role": "PARTICIPANT", "world_role": "Factory"}
TEACHER = {"role": "FACILITATOR"}
SYSTEM = {"is_system": True}
EXECUTE = {"kind": "execute", "name": "advance", "arguments": []}


@pytest.fixture(scope="module")
def model(model_root: Any) -> str:
    """The model_file of a guarded model."""
    name: str = model_root.add("guarded", MODEL, json.dumps(CONTEXT))
    return name


@pytest.fixture
def run_key(peer: Any, model: str) -> str:
    """A new run whose locks let everybody in."""
    open_to_all = {"read_lock": "ANONYMOUS", "write_lock": "ANONYMOUS"}
    key: str = peer.result("create_run", model_file=model, permit=open_to_all)["run_key"]
    return key


def setting(name: str, value: Any) -> dict[str, Any]:
    return {"kind": "set", "name": name, "value": value}


def traces(peer: Any, run_key: str) -> dict[str, Any]:
    """State, history and row of a run; it is in memory afterwards."""
    names = ["Price", "Demand", "creator", "profile", "budget", "sealed", "decision", "step", "fixed", "free"]
    state = peer.result("read_variables", run_key=run_key, names=names, ritual="REVIVE", actor=SYSTEM)
    return {
        "state": state,
        "history": peer.result("read_history", run_key=run_key),
        "run": peer.result("get_run", run_key=run_key),
    }


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("write_variables", {"values": {"Price": [9]}}, OTHER, "role", "Sales"),
    ("write_variables", {"values": {"Price[1]": 9}}, OTHER, "role", "Sales"),
    ("write_variables", {"values": {"Price.1": 9}}, OTHER, "role", "Sales"),
    ("write_variables", {"values": {"Demand": 9}}, OTHER, "role", "Boss or Sales"),
    ("write_variables", {"values": {"Price": [9]}}, TEACHER, "role", "Sales"),
    ("write_variables", {"values": {"creator": "bob"}}, SALES, "privilege", "above PARTICIPANT"),
    ("read_variables", {"names": ["free", "creator"]}, SALES, "privilege", "above PARTICIPANT"),
    ("read_variables", {"names": ["creator"], "ignorable": True}, SALES, "privilege", "above PARTICIPANT"),
    ("read_variables", {"names": ["creator[0]"]}, SALES, "privilege", "above PARTICIPANT"),
    ("read_variables", {"names": ['profile["name"]']}, TEACHER, "privilege", "AUTHOR or above"),
    ("perform_actions", {"actions": [{"kind": "get", "name": "creator"}]}, SALES, "privilege", "above"),
    ("call_operation", {"name": "reset"}, SALES, "privilege", "FACILITATOR or above"),
    ("perform_actions", {"actions": [{**EXECUTE, "name": "reset"}]}, OTHER, "privilege", "FACILITATOR"),
    ("write_variables", {"values": {"budget": 101}}, SALES, "input", "<= 100"),
    ("write_variables", {"values": {"budget": "much"}}, SALES, "input", "<= 100"),
    ("write_variables", {"values": {"budget": 101}}, SYSTEM, "input", "<= 100"),
    ("perform_actions", {"actions": [setting("fixed", 2)]}, SYSTEM, "input", "no values"),
    ("write_variables", {"values": {"weird": 1}}, SYSTEM, "overwrite", "cannot be read"),
]


@pytest.mark.parametrize("place", ("in memory", "archived"))
@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_guard_refuses_on_every_route_and_leaves_no_trace(
    peer: Any,
    run_key: str,
    place: str,
    case: tuple[str, dict[str, Any], dict[str, Any], str, str],
) -> None:
    kind, fields, actor, guard, needed = case
    before = traces(peer, run_key)
    if place == "archived":
        peer.result("evict_run", run_key=run_key)

    error = peer.error(kind, run_key=run_key, actor=actor, **fields)

    assert (error["code"], error["status"], error["retryable"]) == ("GUARD_VIOLATION", 403, False)
    assert error["information"]["guard"] == guard
    assert needed in error["information"]["needed"]
    assert error["information"]["name"] in json.dumps(fields).replace("\\", "")
    assert needed in error["message"]
    if kind in ("perform_actions", "write_variables"):
        assert (error["information"]["index"], error["information"]["completed"]) == (0, [])
    after = traces(peer, run_key)
    assert (after["state"], after["history"]) == (before["state"], before["history"])
    if place == "in memory":
        assert after["run"] == before["run"]


@pytest.mark.parametrize(
    ("kind", "fields", "actor"),
    (
        ("write_variables", {"values": {"Price": [9]}}, SALES),
        ("write_variables", {"values": {"Price[1]": 9}}, SALES),
        ("write_variables", {"values": {"Demand": 9}}, {**OTHER, "world_role": "Boss"}),
        ("write_variables", {"values": {"Price": [9]}}, SYSTEM),
        ("read_variables", {"names": ["Price", "Demand"]}, OTHER),
        ("read_variables", {"names": ["creator"]}, TEACHER),
        ("read_variables", {"names": ["creator"]}, {"group_mandate": "FACILITATOR"}),
        ("read_variables", {"names": ["profile.open"]}, SALES),
        ("read_variables", {"names": ["profile.name"]}, {"role": "AUTHOR"}),
        ("call_operation", {"name": "reset"}, TEACHER),
        ("call_operation", {"name": "peek"}, OTHER),
        ("write_variables", {"values": {"budget": 100}}, SALES),
        ("write_variables", {"values": {"free": 1}}, None),
    ),
)
def test_what_no_guard_refuses_is_done(
    peer: Any, run_key: str, kind: str, fields: dict[str, Any], actor: dict[str, Any] | None
) -> None:
    peer.result(kind, run_key=run_key, **({} if actor is None else {"actor": actor}), **fields)


def test_who_says_nothing_of_himself_is_nobody(peer: Any, run_key: str) -> None:
    actors: list[dict[str, Any]] = [{}, {"actor": {}}, {"actor": {"user_key": "ada"}}]
    for actor in actors:
        for kind, fields in (
            ("write_variables", {"values": {"Price": [9]}}),
            ("read_variables", {"names": ["creator"]}),
            ("call_operation", {"name": "reset"}),
        ):
            assert peer.error(kind, run_key=run_key, **actor, **fields)["code"] == "GUARD_VIOLATION"


def test_a_list_of_actions_stops_at_a_refused_one_and_keeps_what_came_before(peer: Any, run_key: str) -> None:
    head = peer.result("get_run", run_key=run_key)["seq"]
    actions = [EXECUTE, setting("sealed", 4), setting("Price", [9]), setting("free", 7)]

    request = {"run_key": run_key, "actor": OTHER, "actions": actions, "request_id": f"list-{run_key}"[:64]}
    error = peer.error("perform_actions", **request)

    information = error["information"]
    assert (information["guard"], information["index"]) == ("role", 2)
    assert information["completed"] == [
        {"kind": "execute", "name": "advance", "result": 1},
        {"kind": "set", "name": "sealed", "value": 4},
    ]
    entries = peer.result("read_history", run_key=run_key, after_seq=head)["entries"]
    assert [entry["name"] for entry in entries] == ["advance", "sealed"]
    assert peer.error("perform_actions", **request) == error, "a repetition learns the stored outcome"
    assert traces(peer, run_key)["state"]["free"] == 0


def test_a_sealed_variable_is_written_once_over_evictions_and_clones(peer: Any, run_key: str) -> None:
    assert peer.result("write_variables", run_key=run_key, values={"sealed": 1}) == {"sealed": 1}
    head = peer.result("get_run", run_key=run_key)["seq"]
    assert (
        peer.error("write_variables", run_key=run_key, values={"sealed": 2})["information"]["guard"]
        == "overwrite"
    )
    peer.result("evict_run", run_key=run_key)
    assert peer.error("write_variables", run_key=run_key, values={"sealed": 2})["code"] == "GUARD_VIOLATION"
    clone = peer.result("clone_run", run_key=run_key)["run_key"]
    assert peer.error("write_variables", run_key=clone, values={"sealed": 2})["code"] == "GUARD_VIOLATION"
    assert peer.result("get_run", run_key=run_key)["seq"] == head


def test_a_decision_is_taken_while_the_other_variable_allows_it(peer: Any, run_key: str) -> None:
    actions = [setting("decision", 1), EXECUTE, setting("decision", 2), EXECUTE, setting("decision", 3)]

    error = peer.error("perform_actions", run_key=run_key, actions=actions)

    assert error["information"]["needed"] == "step < 2"
    assert error["information"]["index"] == 4
    assert len(error["information"]["completed"]) == 4
    assert traces(peer, run_key)["state"]["decision"] == 2


def test_a_look_before_a_write_is_no_part_of_the_answer(peer: Any, run_key: str) -> None:
    request = {
        "run_key": run_key,
        "actions": [setting("decision", 1), EXECUTE],
        "request_id": f"look-{run_key}",
    }
    first = peer.result("perform_actions", **request)
    assert [item["kind"] for item in first] == ["set", "execute"]
    assert peer.result("perform_actions", **request) == first
    assert len(peer.result("read_history", run_key=run_key)["entries"]) == 3


@pytest.mark.parametrize(
    ("kind", "fields"),
    (
        ("write_variables", {"values": {"Price": [9]}}),
        ("call_operation", {"name": "reset"}),
        ("read_variables", {"names": ["creator"]}),
        ("perform_actions", {"actions": [setting("Price", [9])]}),
    ),
)
def test_guards_hold_for_each_of_many_runs(peer: Any, model: str, kind: str, fields: dict[str, Any]) -> None:
    run_keys = [peer.result("create_run", model_file=model)["run_key"] for _ in range(2)]
    before = [traces(peer, run_key) for run_key in run_keys]

    actor = {"world_role": "Factory"}
    result = peer.result(kind, run_keys=run_keys, actor=actor, **fields)

    assert [result[run_key]["error"]["code"] for run_key in run_keys] == ["GUARD_VIOLATION"] * 2
    for run_key, old in zip(run_keys, before, strict=True):
        assert traces(peer, run_key)["state"] == old["state"]
        assert traces(peer, run_key)["history"] == old["history"]


def test_a_refused_action_does_not_bring_a_run_into_memory(peer: Any, run_key: str) -> None:
    peer.result("evict_run", run_key=run_key)
    peer.error("write_variables", run_key=run_key, values={"Price": []}, ritual="REVIVE")
    assert peer.result("get_run", run_key=run_key)["live"] is False


PRESETS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"Price": [9]}, {"actor": OTHER}, "role"),
    ({"Price": [9]}, {}, "role"),
    ({"creator": "eve"}, {"actor": SALES}, "privilege"),
    ({"free": 1, "budget": 101}, {"actor": SYSTEM}, "input"),
    ({"fixed": 2}, {"actor": SYSTEM}, "input"),
]


def stored(peer: Any) -> int:
    """How many runs there are."""
    count: int = peer.result("worker_status")["runs"]["stored"]
    return count


@pytest.mark.parametrize("case", PRESETS)
def test_presets_are_writes_of_who_gives_them(
    peer: Any, model: str, run_key: str, case: tuple[dict[str, Any], dict[str, Any], str]
) -> None:
    presets, who, guard = case
    given = {"execution_context": {"presets": presets}, **who}
    peer.result("evict_run", run_key=run_key)
    before, runs = traces(peer, run_key), stored(peer)
    peer.result("evict_run", run_key=run_key)

    for kind, fields in (
        ("create_run", {"model_file": model}),
        ("create_run", {"model_file": model, "ephemeral": True}),
        ("clone_run", {"run_key": run_key}),
        ("clone_run", {"run_key": run_key, "at_seq": 1}),
        ("restore_run", {"run_key": run_key}),
        ("restore_run", {"run_key": run_key, "ephemeral": True}),
        ("migrate_run", {"run_key": run_key, "episode_key": "e"}),
        ("create_singular_run", {"model_file": model}),
        ("open_world_run", {"model_file": model, "world_key": "nobody-s"}),
        ("get_run_with_strategy", {"model_file": model, "strategy": "reuse-never"}),
    ):
        error = peer.error(kind, **fields, **given)
        assert (error["code"], error["status"]) == ("GUARD_VIOLATION", 403), kind
        assert (error["information"]["guard"], error["information"]["access"]) == (guard, "write")
        assert error["information"]["path"] == f"execution_context.presets.{list(presets)[-1]}"
        assert stored(peer) == runs
        assert peer.result("get_run", run_key=run_key)["live"] is False
    after = traces(peer, run_key)
    assert (after["state"], after["history"]) == (before["state"], before["history"])


def test_who_may_write_a_variable_may_preset_it(peer: Any, model: str) -> None:
    presets = {"Price": [9], "budget": 100, "sealed": 3, "decision": 4}
    run_key = peer.result(
        "create_run", model_file=model, actor=SALES, execution_context={"presets": presets}
    )["run_key"]
    state = traces(peer, run_key)["state"]
    assert {name: state[name] for name in presets} == presets
    refused = peer.error("write_variables", run_key=run_key, values={"sealed": 4}, actor=SYSTEM)
    assert refused["information"]["guard"] == "overwrite", "the preset was its one writing"


@pytest.mark.parametrize("kind", ("restore_run", "clone_run"))
def test_presets_that_stay_as_they_are_are_no_writes(peer: Any, model: str, kind: str) -> None:
    presets = {"Price": [9], "sealed": 3, "free": 1}
    run_key = peer.result(
        "create_run", model_file=model, actor=SYSTEM, execution_context={"presets": presets}
    )["run_key"]
    peer.result("evict_run", run_key=run_key)
    asked = {"run_key": run_key, "actor": {"is_system": True, "role": "PARTICIPANT"}}

    for changed, guard in (({"Price": [8]}, "role"), ({"sealed": 4}, "overwrite")):
        context = {"presets": {**presets, **changed}}
        error = peer.error(kind, run_key=run_key, actor=OTHER, execution_context=context)
        assert error["information"]["guard"] == guard
    left_out = {"presets": {"sealed": 3}}
    assert peer.error(kind, run_key=run_key, execution_context=left_out)["information"]["guard"] == "role"
    assert peer.error(kind, **asked, execution_context={"presets": {}})["information"]["guard"] == "overwrite"

    context = {"presets": {**presets, "free": 2}}
    made = peer.result(kind, run_key=run_key, execution_context=context)["run_key"]
    state = traces(peer, made)["state"]
    assert (state["Price"], state["sealed"], state["free"]) == ([9], 3, 2)


@pytest.mark.parametrize("guards", ([], [{"input": {"regex": "^free$", "operator": "==", "operand": 1}}]))
def test_a_request_adds_guards_and_takes_none_away(peer: Any, model: str, guards: list[Any]) -> None:
    override = {"model_context": {"protections": {"guards": guards}}}
    run_key = peer.result("create_run", model_file=model, **override)["run_key"]
    peer.result("evict_run", run_key=run_key)
    peer.result("restore_run", run_key=run_key, **override)

    assert peer.error("write_variables", run_key=run_key, values={"Price": [9]})["code"] == "GUARD_VIOLATION"
    reply = peer.ask("write_variables", run_key=run_key, values={"free": 2})
    assert reply["ok"] is (guards == [])


@pytest.mark.parametrize(
    ("guard", "words"),
    (
        ({"mystery": {"regex": "x"}}, "'mystery' is not a known guard"),
        ({"role": {"regex": "x", "role": "a", "domain": "cell", "grant": "allow"}}, "role.domain"),
        (
            {"privilege": {"regex": "x", "domain": "variable", "grant": "allow", "read": "KING"}},
            "privilege.read",
        ),
        ({"input": {"regex": "(a+)+$"}}, "repeated group"),
        ({"overwrite": {"regex": "x", "initial": 1, "dialect": "OTHER"}}, "overwrite.dialect"),
    ),
)
def test_a_guard_that_is_not_understood_refuses_the_load(
    peer: Any, model_root: Any, guard: dict[str, Any], words: str
) -> None:
    model_file = model_root.add("odd", "x = 1\n", json.dumps({"protections": {"guards": [guard]}}))
    error = peer.error("create_run", model_file=model_file)
    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", "protections.guards[0]")
    assert words in error["message"]


@pytest.mark.parametrize("kind", ("create_run", "restore_run", "clone_run", "rewind_run"))
@pytest.mark.parametrize(
    "guard",
    (
        {"role": {"regex": "^Price$", "role": "Factory", "domain": "variable", "grant": "allow"}},
        {"objectType": "role", "regex": "x", "role": "Factory", "domain": "Variable", "grant": "ALLOW"},
    ),
)
def test_a_request_adds_no_role_to_those_that_may(
    peer: Any, model: str, run_key: str, kind: str, guard: dict[str, Any]
) -> None:
    peer.result("call_operation", run_key=run_key, name="advance")
    peer.result("evict_run", run_key=run_key)
    override = {"model_context": {"protections": {"guards": [{"input": {"regex": "^free$"}}, guard]}}}
    fields: dict[str, Any] = {"model_file": model} if kind == "create_run" else {"run_key": run_key}
    if kind == "rewind_run":
        fields["to_seq"] = 1
    error = peer.error(kind, actor=OTHER, **fields, **override)
    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", "protections.guards[1]")
    refused = peer.error("write_variables", run_key=run_key, values={"Price": [9]}, actor=OTHER)
    assert refused["code"] == "GUARD_VIOLATION"


def test_a_request_may_add_role_guards_that_hold_more(peer: Any, model: str) -> None:
    guards = [
        {"role": {"regex": "^Price$", "role": "Sales", "domain": "variable", "grant": "disallow"}},
        {"role": {"regex": "^advance$", "role": "Boss", "domain": "operation", "grant": "allow"}},
    ]
    run_key = peer.result("create_run", model_file=model, model_context={"protections": {"guards": guards}})[
        "run_key"
    ]
    for kind, fields in (
        ("write_variables", {"values": {"Price": [9]}}),
        ("call_operation", {"name": "advance"}),
    ):
        assert peer.error(kind, run_key=run_key, actor=SALES, **fields)["code"] == "GUARD_VIOLATION"


def test_an_author_may_open_the_presets_of_new_runs(peer: Any, model_root: Any, model: str) -> None:
    """As of a model whose players say who began a run, and may not change it afterwards."""
    opened = {**CONTEXT, "protections": {"guards": GUARDS, "presets": "open"}}
    model_file = model_root.add("opened", MODEL, json.dumps(opened))
    context = {"presets": {"creator": "eve"}}

    run_key = peer.result("create_run", model_file=model_file, actor=OTHER, execution_context=context)[
        "run_key"
    ]

    assert peer.result("read_variables", run_key=run_key, names=["creator"], actor=SYSTEM) == {
        "creator": "eve"
    }
    peer.result("evict_run", run_key=run_key)
    other = {"run_key": run_key, "actor": OTHER, "execution_context": {"presets": {"creator": "bob"}}}
    for kind in ("restore_run", "clone_run"):
        assert peer.error(kind, **other)["code"] == "GUARD_VIOLATION", "what began is not begun otherwise"
    override = {"protections": {"presets": "open"}}
    error = peer.error("create_run", model_file=model, model_context=override, execution_context=context)
    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", "protections.presets")
