"""Every function of Epicenter's run adapter, as a request of the wire: what it takes, answers and leaves alone.

The rows are those of the reference's table of functions, by their names there.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

TABLE = """
create createSingular getSingularRunKey clone migrate restore rewind get update remove query introspect
introspectWithRunKey operation getVariables getVariable updateVariables getMetadata updateMetadata action
retrieveFromWorld removeFromWorld world.assignRun world.update world.destroy world.get consensus
"""
WITHOUT_REQUEST = ("world.get",)
"""Worlds themselves are kept by an API tier; showing one asks the worker for nothing."""
VIEW = {
    "run_key": str,
    "scope": dict,
    "permit": dict,
    "morphology": str,
    "model_file": str,
    "model_language": str,
    "model_version": int | float,
    "execution_context": dict,
    "tracking_key": str,
    "marked": bool,
    "hidden": bool,
    "closed": bool,
    "allow_channel": bool,
    "created": str,
    "last_modified": str,
    "last_operated": str,
    "address": dict,
    "user": dict,
    "run_state": str,
    "perpetual": bool,
    "grammar": str,
}
"""The fields of RunReadOutView that a worker knows, and their types."""
MISSING = "0" * 36
GROUP = {"scope_boundary": "GROUP", "scope_key": "g-1"}
EVERYTHING: dict[str, Any] = {
    "scope": {**GROUP, "user_key": "ada"},
    "permit": {"read_lock": "PARTICIPANT"},
    "tracking_key": "t-1",
    "execution_context": {"version": "v1", "presets": {"motto": "go"}},
    "allow_channel": True,
    "perpetual": True,
    "grammar": "g",
    "address": {"group_name": "g", "account_short_name": "acme"},
    "metadata": {"team": ["red"]},
    "actor": {"user_key": "ada", "role": "PARTICIPANT"},
}


def is_view(run: dict[str, Any]) -> None:
    """A RunReadOutView: known fields of their types, and nothing null."""
    for name, kind in VIEW.items():
        if name in run:
            assert isinstance(run[name], kind), name
    assert {"run_key", "scope", "created"} <= set(run)
    assert None not in run.values()
    assert re.fullmatch(r"[0-9a-f]{36}", run["run_key"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", run["created"])
    assert "model_context" not in run, "never echoed"


def check_create(stage: Any) -> None:
    run = stage.result("create_run", model_file=stage.model_file, **EVERYTHING)
    is_view(run)
    assert set(VIEW) - set(run) == {"last_operated"}, "nothing was operated yet"
    assert run["permit"] == {"read_lock": "PARTICIPANT", "write_lock": "USER"}, "a permit may be partial"
    assert run["execution_context"] == EVERYTHING["execution_context"]
    assert (run["morphology"], run["run_state"]) == ("MANY", "ACTIVE")
    bare = stage.result("create_run", model_file=stage.model_file)
    absent = {"tracking_key", "grammar", "address", "user", "last_operated"}
    assert not absent & set(bare), "an optional that is undefined is absent"
    world = {"scope_boundary": "WORLD", "scope_key": "w-1", "user_key": "ada"}
    dropped = stage.result("create_run", model_file=stage.model_file, scope=world, actor={"user_key": "ada"})
    assert dropped["scope"] == {"scope_boundary": "WORLD", "scope_key": "w-1"}
    own = stage.result("create_run", model_file=stage.model_file, scope=GROUP, actor={"user_key": "bob"})
    assert own["scope"]["user_key"] == "bob", "the session's user where none is given"


def check_create_singular(stage: Any) -> None:
    other = stage.model("other", "x = 1\n")
    run = stage.result(
        "create_singular_run", model_file=stage.model_file, tracking_key="t", allow_channel=True
    )
    is_view(run)
    assert (run["morphology"], run["live"]) == ("SINGULAR", True)
    assert (run["tracking_key"], run["allow_channel"]) == ("t", True), "not dropped, as the client's own do"
    assert run["scope"]["scope_boundary"] == "PROJECT"
    for fields in ({"model_file": stage.model_file}, {"model_file": other}):
        assert stage.result("create_singular_run", **fields)["run_key"] == run["run_key"], "at most one"


def check_singular_key(stage: Any) -> None:
    run = stage.result("create_singular_run", model_file=stage.model_file)
    assert stage.result("get_singular_run_key") == run["run_key"]
    assert stage.result("get_singular_run_key", actor={"role": "ANONYMOUS"}) == run["run_key"]


def check_clone(stage: Any) -> None:
    source = stage.run(1, **EVERYTHING)
    run = stage.result(
        "clone_run", run_key=source, model_context={}, execution_context={}, tracking_key="t-2"
    )
    is_view(run)
    assert run["run_key"] != source
    assert (run["tracking_key"], run["live"]) == ("t-2", True)
    assert run["execution_context"] == EVERYTHING["execution_context"]


def check_migrate(stage: Any) -> None:
    source = stage.run(1, **EVERYTHING)
    fields = {"run_key": source, "model_context": {}, "execution_context": {}, "tracking_key": "t-2"}
    run = stage.result("migrate_run", episode_key="e-1", **fields)
    is_view(run)
    assert run["run_key"] != source
    assert run["scope"] == {"scope_boundary": "EPISODE", "scope_key": "e-1", "user_key": "ada"}
    assert (run["tracking_key"], stage.read(run["run_key"], "price", "motto")) == (
        "t-2",
        {"price": 1, "motto": "go"},
    )
    assert stage.view(source)["scope"]["scope_boundary"] == "GROUP", "the source stays"


def check_restore(stage: Any) -> None:
    run_key = stage.evict(stage.run(1))
    run = stage.result("restore_run", run_key=run_key, model_context={}, execution_context={})
    is_view(run)
    assert (run["run_key"], run["run_state"]) == (run_key, "ACTIVE"), "loads into memory"


def check_rewind(stage: Any) -> None:
    run_key = stage.run(1, 2)
    run = stage.result("rewind_run", run_key=run_key, rewind_count=1, model_context={})
    is_view(run)
    assert run["run_key"] == run_key
    error = stage.ask("rewind_run", run_key=run_key, rewind_count=1, execution_context={})["error"]
    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "execution_context")


def check_get(stage: Any) -> None:
    run_key = stage.evict(stage.run(1, **EVERYTHING))
    run = stage.view(run_key)
    is_view(run)
    assert set(VIEW) <= set(run)
    assert run["run_state"] == "INACTIVE"
    assert stage.view(run_key)["live"] is False, "never starts a process"
    assert stage.code("get_run", run_key=MISSING) == "RUN_NOT_FOUND"


def check_update(stage: Any) -> None:
    run_key = stage.evict(stage.run())
    changes = {
        "permit": {"write_lock": "AUTHOR"},
        "tracking_key": "t-3",
        "marked": True,
        "hidden": True,
        "allow_channel": True,
    }
    before = stage.view(run_key)
    run = stage.result("update_run", run_key=run_key, **changes)
    is_view(run)
    assert run["permit"] == {**before["permit"], "write_lock": "AUTHOR"}
    assert {name: run[name] for name in changes if name != "permit"} == {
        name: value for name, value in changes.items() if name != "permit"
    }
    assert run["live"] is False
    assert stage.result("update_run", run_key=run_key, closed=True)["run_state"] == "CLOSED"


def check_remove(stage: Any) -> None:
    run_key = stage.run(1)
    for _ in range(2):
        assert stage.result("evict_run", run_key=run_key) is None, "idempotent"
    assert stage.view(run_key)["run_state"] == "INACTIVE", "it never deletes"
    assert stage.read(run_key, "price") == 1


def check_query(stage: Any) -> None:
    scope = {"scope_boundary": "EPISODE", "scope_key": "e-query"}
    keys = [stage.evict(stage.run(price, scope=scope, metadata={"n": price})) for price in (1, 2, 3)]
    page = stage.result(
        "query_runs",
        scope=scope,
        model_file=stage.model_file,
        filter="var.price>=2",
        sort="-run.created",
        variables=["price", "never"],
        metadata=["n"],
        max=1,
    )
    assert (page["first_result"], page["max_results"], page["total_results"]) == (0, 1, 2)
    (run,) = page["values"]
    is_view(run)
    assert (run["run_key"], run["variables"], run["meta_data"]) == (
        keys[2],
        {"price": 3, "never": None},
        {"n": 3},
    )
    assert not any(stage.view(key)["live"] for key in keys)


def check_introspect(stage: Any) -> None:
    told = stage.result("introspect_model", model_file=stage.model_file)
    assert told["language"] == "PYTHON_3"
    (step,) = (function for function in told["functions"] if function["name"] == "step")
    assert step == {
        "name": "step",
        "arguments": [{"name": "by", "required": False, "default": 1}],
        "doc": "One step.",
    }
    assert {"name": "price", "type": "int", "readable": True, "writable": True} in told["variables"]


def check_introspect_with_run_key(stage: Any) -> None:
    run_key = stage.evict(stage.run(1))
    assert stage.result("introspect_run", run_key=run_key) == stage.result(
        "introspect_model", model_file=stage.model_file
    )
    assert stage.view(run_key)["live"] is False


def check_operation(stage: Any) -> None:
    run_key = stage.run()
    assert stage.result("call_operation", run_key=run_key, name="step", arguments=[4]) == 4
    assert stage.result("call_operation", run_key=run_key, name="step") == 5, "arguments left out are none"


def check_get_variables(stage: Any) -> None:
    run_key = stage.run(1)
    names = ["secret", "price", "world.team.size"]
    values = stage.result("read_variables", run_key=run_key, names=names)
    assert list(values.items()) == [("secret", 5), ("price", 1), ("world.team.size", 3)], "in the order asked"
    stage.evict(run_key)
    asked = {"run_key": run_key, "names": ["never", "price"]}
    assert stage.code("read_variables", **asked) == "UNRECORDED_VARIABLE"
    values = stage.result("read_variables", **asked, ignorable=True)
    assert list(values.items()) == [("never", None), ("price", 1)], "null stands where nothing is"


def check_get_variable(stage: Any) -> None:
    run_key = stage.run(2)
    assert stage.result("read_variables", run_key=run_key, names=["price"]) == {"price": 2}


def check_update_variables(stage: Any) -> None:
    run_key = stage.run()
    values = {"world.tags[1]": "z", "secret": None, "motto": {"deep": [1]}}
    written = stage.result("write_variables", run_key=run_key, values=values)
    assert list(written.items()) == list(values.items())
    assert stage.read(run_key, "world.tags", "secret", "motto") == {
        "world.tags": ["a", "z"],
        "secret": None,
        "motto": {"deep": [1]},
    }


def check_get_metadata(stage: Any) -> None:
    run_key = stage.evict(stage.run(metadata={"a": 1, "b": [2]}))
    values = stage.result("read_metadata", run_key=run_key, names=["b", "a"])
    assert list(values.items()) == [("b", [2]), ("a", 1)]
    error = stage.ask("read_metadata", run_key=run_key, names=["x", "a", "y"])["error"]
    assert (error["code"], error["status"], error["information"]["names"]) == (
        "UNRECORDED_VARIABLE",
        410,
        ["x", "y"],
    )
    assert stage.result("read_metadata", run_key=run_key, names=["x", "a"], ignorable=True) == {
        "x": None,
        "a": 1,
    }


def check_update_metadata(stage: Any) -> None:
    run_key = stage.evict(stage.run(metadata={"a": [1, 2, 1, 3], "b": [1, 2], "c": [1, 2], "d": [5]}))
    changed = stage.result(
        "update_metadata",
        run_key=run_key,
        set={"new": True},
        push={"d": 6},
        pop={
            "a": {"object_type": "all", "value": 1},
            "b": {"object_type": "first"},
            "c": {"object_type": "last"},
        },
    )
    assert changed == {"new": True, "d": [5, 6], "a": [2, 3], "b": [2], "c": [1]}
    assert stage.view(run_key)["live"] is False


def check_action(stage: Any) -> None:
    run_key = stage.run()
    done = stage.result(
        "perform_actions",
        run_key=run_key,
        actions=[
            {"kind": "set", "name": "secret", "value": 8},
            {"kind": "execute", "name": "step", "arguments": [2]},
            {"kind": "get", "name": "secret"},
            {"kind": "execute", "name": "step"},
        ],
    )
    assert done == [
        {"kind": "set", "name": "secret", "value": 8},
        {"kind": "execute", "name": "step", "result": 2},
        {"kind": "get", "name": "secret", "value": 8},
        {"kind": "execute", "name": "step", "result": 3},
    ]


def check_retrieve(stage: Any) -> None:
    fields = {"world_key": "w-retrieve", "model_file": stage.model_file, "permit": {"write_lock": "LEADER"}}
    run = stage.result("open_world_run", **fields)
    is_view(run)
    assert run["scope"] == {"scope_boundary": "WORLD", "scope_key": "w-retrieve"}
    assert run["permit"]["write_lock"] == "LEADER"
    stage.play(stage.evict(run["run_key"]), 3)
    stage.evict(run["run_key"])
    again = stage.result("open_world_run", **fields)
    assert (again["run_key"], again["live"]) == (run["run_key"], True), "the same, brought into memory"


def check_remove_from_world(stage: Any) -> None:
    fields = {"world_key": "w-remove", "model_file": stage.model_file}
    run_key = stage.result("open_world_run", **fields)["run_key"]
    for _ in range(2):
        assert stage.result("close_world_run", world_key="w-remove") is None
    assert (stage.view(run_key)["closed"], stage.view(run_key)["live"]) == (True, False)
    assert stage.result("open_world_run", **fields)["run_key"] != run_key, "the world had none any more"


def check_assign(stage: Any) -> None:
    fields = {"world_key": "w-assign", "model_file": stage.model_file}
    first, second = stage.result("open_world_run", **fields)["run_key"], stage.run(2)
    assert stage.result("assign_world_run", world_key="w-assign", run_key=second) is None
    assert stage.result("open_world_run", **fields)["run_key"] == second
    assert stage.view(first)["closed"] is False, "it is only in no world any more"


def check_destroy(stage: Any) -> None:
    fields = {"world_key": "w-destroy", "model_file": stage.model_file}
    run_key = stage.result("open_world_run", **fields)["run_key"]
    stage.result("close_world_run", world_key="w-destroy")
    world = {"scope_boundary": "WORLD", "scope_key": "w-destroy"}
    others = stage.result("query_runs", scope=world, filter="run.closed=false")["values"]
    assert (stage.view(run_key)["closed"], others) == (True, []), "what is scoped to it has ended"


def check_consensus(stage: Any) -> None:
    world = {"scope_boundary": "WORLD", "scope_key": "w-2"}
    run_key = stage.evict(stage.run(scope=world))
    actions = [{"kind": "execute", "name": "step"}]
    reply = stage.ask("perform_actions", run_key=run_key, actions=actions, ritual="EXORCISE")
    assert reply["result"] == [{"kind": "execute", "name": "step", "result": 1}]
    assert reply["run"]["ritual"] == "EXORCISE"
    assert stage.view(run_key)["live"] is False, "the platform's actions honour the ritual"


CASES: dict[str, Callable[[Any], None]] = {
    "create": check_create,
    "createSingular": check_create_singular,
    "getSingularRunKey": check_singular_key,
    "clone": check_clone,
    "migrate": check_migrate,
    "restore": check_restore,
    "rewind": check_rewind,
    "get": check_get,
    "update": check_update,
    "remove": check_remove,
    "query": check_query,
    "introspect": check_introspect,
    "introspectWithRunKey": check_introspect_with_run_key,
    "operation": check_operation,
    "getVariables": check_get_variables,
    "getVariable": check_get_variable,
    "updateVariables": check_update_variables,
    "getMetadata": check_get_metadata,
    "updateMetadata": check_update_metadata,
    "action": check_action,
    "retrieveFromWorld": check_retrieve,
    "removeFromWorld": check_remove_from_world,
    "world.assignRun": check_assign,
    "world.update": check_assign,
    "world.destroy": check_destroy,
    "consensus": check_consensus,
}


@pytest.mark.parametrize("function", CASES)
def test_a_function_of_the_adapter(stage: Any, function: str) -> None:
    CASES[function](stage)


def test_every_row_has_a_case() -> None:
    assert list(CASES) == [row for row in TABLE.split() if row not in WITHOUT_REQUEST]


# Many keys at once: the request of each function that takes them, and what one run answers.
MANY: dict[str, tuple[str, dict[str, Any], Any]] = {
    "update": ("update_run", {"marked": True}, None),
    "remove": ("evict_run", {}, None),
    "operation": ("call_operation", {"name": "step", "arguments": [2]}, 3),
    "getVariables": ("read_variables", {"names": ["price"]}, {"price": 1}),
    "updateVariables": ("write_variables", {"values": {"secret": 1}}, {"secret": 1}),
    "getMetadata": ("read_metadata", {"names": ["n"]}, {"n": 1}),
    "updateMetadata": ("update_metadata", {"set": {"n": 2}}, {"n": 2}),
    "action": (
        "perform_actions",
        {"actions": [{"kind": "get", "name": "price"}]},
        [{"kind": "get", "name": "price", "value": 1}],
    ),
}


@pytest.mark.parametrize("function", MANY)
def test_many_keys_answer_by_key_in_their_order_each_for_itself(stage: Any, function: str) -> None:
    type_, fields, expected = MANY[function]
    first, second = (stage.run(1, metadata={"n": 1}) for _ in range(2))
    keys = [second, MISSING, first]

    answers = stage.result(type_, run_keys=keys, **fields)

    assert list(answers) == keys
    assert {key: answers[MISSING][key] for key in answers[MISSING] if key != "error"} == {"ok": False}
    assert answers[MISSING]["error"]["code"] == "RUN_NOT_FOUND"
    for key in (first, second):
        if function == "update":
            is_view(answers[key]["result"])
            assert (answers[key]["result"]["run_key"], answers[key]["result"]["marked"]) == (key, True)
        else:
            assert answers[key] == {"ok": True, "result": expected}


@pytest.mark.parametrize("function", MANY)
def test_a_list_of_one_key_is_a_list_and_an_empty_one_is_refused(stage: Any, function: str) -> None:
    type_, fields, _ = MANY[function]
    run_key = stage.run(1, metadata={"n": 1})
    assert list(stage.result(type_, run_keys=[run_key], **fields)) == [run_key]
    assert stage.code(type_, run_keys=[], **fields) == "INVALID_REQUEST"


@pytest.mark.parametrize("type_", ("get_run", "restore_run", "rewind_run", "clone_run", "introspect_run"))
def test_other_functions_take_one_key(stage: Any, type_: str) -> None:
    fields = {"rewind_count": 1} if type_ == "rewind_run" else {}
    assert stage.code(type_, run_keys=[MISSING], **fields) == "INVALID_REQUEST"


# Locks of a run whose creator sent no permit: role of the creator, boundary, read lock, write lock.
PERMITS = """
PARTICIPANT  PROJECT  USER         USER
PARTICIPANT  GROUP    USER         USER
PARTICIPANT  EPISODE  USER         USER
PARTICIPANT  WORLD    PARTICIPANT  FACILITATOR
AUTHOR       GROUP    AUTHOR       AUTHOR
AUTHOR       WORLD    AUTHOR       AUTHOR
OWNER        PROJECT  AUTHOR       AUTHOR
FACILITATOR  EPISODE  FACILITATOR  FACILITATOR
REVIEWER     GROUP    FACILITATOR  FACILITATOR
"""


@pytest.mark.parametrize("row", PERMITS.strip().splitlines(), ids=lambda row: "-".join(row.split()[:2]))
def test_the_permit_that_nobody_sent(stage: Any, row: str) -> None:
    role, boundary, read_lock, write_lock = row.split()
    run = stage.result(
        "create_run",
        model_file=stage.model_file,
        scope={"scope_boundary": boundary, "scope_key": "k"},
        actor={"role": role, "user_key": "ada"},
    )
    assert run["permit"] == {"read_lock": read_lock, "write_lock": write_lock}
    half = stage.result(
        "create_run",
        model_file=stage.model_file,
        scope={"scope_boundary": boundary, "scope_key": "k"},
        actor={"role": role, "user_key": "ada"},
        permit={"write_lock": "MONITOR"},
    )
    assert half["permit"] == {"read_lock": read_lock, "write_lock": "MONITOR"}, "a permit may be partial"


ROLES = """
SYSTEM MONITOR OWNER AUTHOR SUPPORT ASSOCIATE FACILITATOR REVIEWER USER LEADER PARTICIPANT ANONYMOUS
"""
LADDER = ROLES.split()


@pytest.mark.parametrize("lock", LADDER)
def test_a_lock_blocks_every_role_below_it(stage: Any, lock: str) -> None:
    scope = {**GROUP, "user_key": "ada"}
    run_key = stage.run(scope=scope, permit={"read_lock": lock, "write_lock": lock})
    for role in LADDER:
        actor = {"role": role, "user_key": "bob"}
        place = LADDER.index(
            "PARTICIPANT" if role == "USER" else role
        )  # USER is the one in the scope, or above
        allowed = place <= LADDER.index(lock)
        for type_, fields in (("get_run", {}), ("update_metadata", {"set": {"by": role}})):
            reply = stage.ask(type_, run_key=run_key, actor=actor, **fields)
            assert reply["ok"] is allowed, (role, type_)
            if not allowed:
                assert reply["error"]["code"] == "PERMIT_VIOLATION"
    owner = stage.ask("get_run", run_key=run_key, actor={"role": "PARTICIPANT", "user_key": "ada"})
    assert owner["ok"] is (LADDER.index(lock) >= LADDER.index("USER")), "its user counts as USER"
