"""Epicenter's run API, row by row: each endpoint for one run and, where there is such a form, for many."""

import itertools
import json
from typing import Any

import pytest

_NUMBERS = itertools.count(1)
PLAYER = "dev:PARTICIPANT:ada"
FACILITATOR = "dev:FACILITATOR:fay"


def fresh(word: str) -> str:
    """A key that no other test uses."""
    return f"{word}-{next(_NUMBERS)}"


def operate(api: Any, run_key: str, name: str = "add", *arguments: Any, **more: Any) -> Any:
    body = {"name": name, "arguments": list(arguments), "objectType": "execute"}
    return api.result("POST", f"/run/operation/{run_key}", body, **more)


def read(api: Any, run_key: str, include: str = "count", **more: Any) -> Any:
    return api.result("POST", f"/run/variable/{run_key}", {"include": include, **more})


def test_create_answers_the_run(api: Any) -> None:
    body = {
        "scope": {"scopeBoundary": "GROUP", "scopeKey": "g", "userKey": "ada"},
        "permit": {"readLock": "PARTICIPANT"},
        "morphology": "MANY",
        "trackingKey": "t",
        "modelFile": "counter.py",
        "modelContext": {},
        "executionContext": {"version": "V1", "presets": {"hidden": 7}},
        "ephemeral": False,
        "allowChannel": True,
    }
    run = api.result("POST", "/run", body, headers={"X-Forio-Confirmation": "true"})
    assert len(run["runKey"]) == 36
    assert run["scope"] == body["scope"]
    assert run["permit"]["readLock"] == "PARTICIPANT"
    assert (run["trackingKey"], run["allowChannel"], run["modelFile"]) == ("t", True, "counter.py")
    assert run["executionContext"]["presets"] == {"hidden": 7}
    assert (run["runState"], run["modelVersion"]) == ("ACTIVE", 3)
    assert run["address"]["accountShortName"] == "acme"
    assert None not in run.values()
    assert read(api, run["runKey"], "hidden", ritual="REVIVE") == [7]


def test_a_run_belongs_to_who_created_it(api: Any) -> None:
    run_key = api.create(token=PLAYER)
    assert api.result("GET", f"/run/{run_key}", token=PLAYER)["scope"]["userKey"] == "ada"
    assert operate(api, run_key, token=PLAYER) == 1
    other = "dev:PARTICIPANT:bob"
    assert api.fault("GET", f"/run/{run_key}", token=other) == (403, "PERMIT_VIOLATION")


def test_the_proxy_prefix_leads_to_the_same(api: Any, gateway: Any, connect_api: Any) -> None:
    run_key = api.create()
    proxied = connect_api(gateway.url)
    proxied.base = "/proxy/acme/demo/api/v3/acme/demo"
    assert proxied.result("GET", f"/run/{run_key}")["runKey"] == run_key
    proxied.base = "/proxy/acme/other/api/v3/acme/demo"
    assert proxied.fault("GET", f"/run/{run_key}") == (400, "INCOMPREHENSIBLE_REQUEST")


def test_the_singular_run_is_made_once(api: Any) -> None:
    body = {"modelFile": "counter.py", "modelContext": {}, "executionContext": {}}
    first = api.result("POST", "/run/singular", body)
    assert first["morphology"] == "SINGULAR"
    assert api.result("POST", "/run/singular", body)["runKey"] == first["runKey"]
    assert api.result("GET", "/run/singular/key", token=None) == first["runKey"]


def test_clone_copies_under_a_new_key_and_keeps_the_presets(api: Any) -> None:
    run_key = api.create(executionContext={"presets": {"hidden": 9}})
    operate(api, run_key, "add", 4)
    clone = api.result(
        "POST", f"/run/clone/{run_key}", {"trackingKey": "c", "modelContext": {}, "executionContext": {}}
    )
    assert clone["runKey"] != run_key
    assert clone["trackingKey"] == "c"
    assert read(api, clone["runKey"], "count;hidden", ritual="REVIVE") == [4, 9]


def test_migrate_copies_into_an_episode(api: Any) -> None:
    run_key = api.create()
    copy = api.result(
        "POST",
        f"/run/migrate/to/episode-9/{run_key}",
        {"modelContext": {}, "executionContext": {}},
    )
    assert copy["scope"]["scopeBoundary"] == "EPISODE"
    assert copy["scope"]["scopeKey"] == "episode-9"
    own = api.create(token=PLAYER)
    assert api.fault("POST", f"/run/migrate/to/e/{own}", {}, token=PLAYER) == (401, "AUTHORIZATION_FAILURE")


def test_restore_brings_into_memory_with_the_presets_it_had(api: Any) -> None:
    run_key = api.create(executionContext={"presets": {"hidden": 8}})
    operate(api, run_key, "add", 2)
    api.done("DELETE", f"/run/{run_key}")
    assert api.result("GET", f"/run/{run_key}")["runState"] == "INACTIVE"
    run = api.result("POST", f"/run/restore/{run_key}", {"modelContext": {}, "executionContext": {}})
    assert (run["runKey"], run["runState"]) == (run_key, "ACTIVE")
    assert read(api, run_key, "count;hidden", ritual="INTER") == [2, 8]


def test_rewind_takes_steps_back(api: Any) -> None:
    run_key = api.create()
    for number in (1, 10, 100):
        operate(api, run_key, "add", number)
    run = api.result("POST", f"/run/rewind/{run_key}", {"rewindCount": 2, "modelContext": {}})
    assert run["runKey"] == run_key
    assert read(api, run_key) == [1]


def test_get_starts_no_process(api: Any) -> None:
    run_key = api.create()
    api.done("DELETE", f"/run/{run_key}")
    for _ in range(2):
        run = api.result("GET", f"/run/{run_key}")
        assert (run["runState"], run["live"]) == ("INACTIVE", False)


def test_update_changes_attributes(api: Any) -> None:
    run_key = api.create()
    run = api.result(
        "PATCH", f"/run/{run_key}", {"marked": True, "trackingKey": "x", "permit": {"readLock": "USER"}}
    )
    assert (run["marked"], run["trackingKey"], run["permit"]["readLock"]) == (True, "x", "USER")
    assert run["permit"]["writeLock"] == "AUTHOR"


def test_update_of_many_answers_by_key(api: Any) -> None:
    run_keys = [api.create(), api.create()]
    runs = api.result("PATCH", "/run", {"hidden": True}, runKey=run_keys)
    assert {run_key: run["hidden"] for run_key, run in runs.items()} == dict.fromkeys(run_keys, True)


def test_remove_evicts_and_may_be_repeated(api: Any) -> None:
    run_key = api.create()
    api.done("DELETE", f"/run/{run_key}")
    api.done("DELETE", f"/run/{run_key}")
    assert read(api, run_key) == [0]


def test_query_by_scope_gives_variables_by_position_and_metadata_by_name(api: Any) -> None:
    group = fresh("group")
    run_key = api.create(group)
    operate(api, run_key, "add", 3)
    api.result("PATCH", f"/run/meta/{run_key}", {"set": {"colour": "red"}})
    page = api.result("GET", f"/run/GROUP/{group}/counter.py", var="log;hidden;count", meta="colour;none")
    (run,) = page["values"]
    assert run["runKey"] == run_key
    assert run["variables"] == [[3], None, 3]
    assert run["metaData"] == {"colour": "red", "none": None}


def test_query_filters_and_sorts(api: Any) -> None:
    group = fresh("group")
    keys = [api.create(group, trackingKey=word) for word in ("b", "a", "c")]
    operate(api, keys[0], "add", 5)
    operate(api, keys[2], "add", 9)
    path = f"/run/GROUP/{group}/counter.py"
    page = api.result("GET", path, filter="var.count>=5;run.hidden=false", sort="+run.trackingKey")
    assert [run["trackingKey"] for run in page["values"]] == ["b", "c"]
    page = api.result("GET", path, sort="-run.trackingKey")
    assert [run["trackingKey"] for run in page["values"]] == ["c", "b", "a"]
    assert api.result("GET", path, filter="run.userKey=dev")["totalResults"] == 3


def test_query_in_a_group_and_its_episodes(api: Any) -> None:
    group, episode = fresh("group"), fresh("episode")
    whole = api.create(group)
    part = api.create(scope={"scopeBoundary": "EPISODE", "scopeKey": episode}, address={"groupName": group})

    def found(path: str, **query: Any) -> list[str]:
        return [run["runKey"] for run in api.result("GET", path, **query)["values"]]

    assert found(f"/run/in/{group}/counter.py") == [whole]
    assert found(f"/run/in/{group}/counter.py", includeEpisodes="true") == [whole, part]
    assert found(f"/run/in/{group}/{episode}/counter.py") == [part]


def test_a_model_in_a_folder_is_found_with_its_slash_escaped(api: Any) -> None:
    group = fresh("group")
    run_key = api.create(group, modelFile="deep/model.py")
    for path in (f"/run/in/{group}/deep%2Fmodel.py", f"/run/GROUP/{group}/deep/model.py"):
        assert [run["runKey"] for run in api.result("GET", path)["values"]] == [run_key]


def test_introspect_a_model(api: Any) -> None:
    found = api.result("GET", "/run/introspect/model/counter.py")
    assert "add" in {function["name"] for function in found["functions"]}
    assert "count" in {variable["name"] for variable in found["variables"]}
    assert api.result("GET", "/run/introspect/model/deep/model.py")["language"] == "PYTHON_3"


def test_introspect_a_run(api: Any) -> None:
    found = api.result("GET", f"/run/introspect/{api.create()}")
    assert "add" in {function["name"] for function in found["functions"]}


def test_operation_answers_what_the_operation_returned(api: Any) -> None:
    run_key = api.create()
    assert operate(api, run_key, "add", 5, ritual="REVIVE", timeout=20) == 5
    assert operate(api, run_key, "nap", 0) is None
    assert operate(api, run_key, "actor")["pseudonym_key"] == "dev"


def test_operation_of_many_answers_by_key_and_ends_the_runs(api: Any) -> None:
    run_keys = [api.create(), api.create()]
    body = {"name": "add", "arguments": [2], "objectType": "execute"}
    assert api.result("POST", "/run/operation", body, runKey=run_keys, timeout=30) == dict.fromkeys(
        run_keys, 2
    )
    assert {api.result("GET", f"/run/{key}")["runState"] for key in run_keys} == {"INACTIVE"}


def test_variables_come_in_the_order_of_include(api: Any) -> None:
    run_key = api.create()
    operate(api, run_key, "add", 6)
    assert read(api, run_key, "log;count;log") == [[6], 6, [6]]
    assert read(api, run_key, "") == []
    assert read(api, run_key, "count;absent", ignorable=True) == [6, None]


def test_variables_of_many_come_by_key_and_position(api: Any) -> None:
    run_keys = [api.create(), api.create()]
    operate(api, run_keys[1], "add", 6)
    values = api.result("POST", "/run/variable", {"runKey": run_keys, "include": "count;log"})
    assert values == {run_keys[0]: [0, []], run_keys[1]: [6, [6]]}


def test_one_variable_is_a_bare_value(api: Any) -> None:
    run_key = api.create()
    assert api.result("GET", f"/run/variable/{run_key}/count", ritual="REVIVE", timeout=9) == 0
    operate(api, run_key, "add", 6)
    assert api.result("GET", f"/run/variable/{run_key}/log%5B0%5D") == 6


def test_update_variables_answers_the_new_values(api: Any) -> None:
    run_key = api.create()
    written = {"hidden": {"a": None}, "count": 4}
    assert api.result("PATCH", f"/run/variable/{run_key}", written, ritual="REVIVE") == written
    assert read(api, run_key, "hidden;count") == [{"a": None}, 4]


def test_update_variables_of_many_answers_by_key(api: Any) -> None:
    run_keys = [api.create(), api.create()]
    assert api.result("PATCH", "/run/variable", {"hidden": 1}, runKey=run_keys) == {
        key: {"hidden": 1} for key in run_keys
    }


def test_metadata_is_set_pushed_and_popped(api: Any) -> None:
    run_key = api.create()
    path = f"/run/meta/{run_key}"
    assert api.result("PATCH", path, {"set": {"a": [1], "b": "x"}}, timeout=9) == {"a": [1], "b": "x"}
    assert api.result("PATCH", path, {"push": {"a": 2}}) == {"a": [1, 2]}
    assert api.result("PATCH", path, {"pop": {"a": {"objectType": "first"}}}) == {"a": [2]}
    assert api.result("PATCH", path, {"pop": {"a": {"objectType": "all", "value": 2}}}) == {"a": []}
    found = api.result("POST", "/run/meta", {"include": "b;a", "runKey": [run_key]})
    assert found == {run_key: ["x", []]}


def test_metadata_of_many_comes_by_key_and_position(api: Any) -> None:
    run_keys = [api.create(), api.create()]
    changed = api.result("PATCH", "/run/meta", {"set": {"a": 1, "b": 2}}, runKey=run_keys)
    assert changed == {key: {"a": 1, "b": 2} for key in run_keys}
    found = api.result("POST", "/run/meta", {"include": "b;a", "runKey": run_keys})
    assert found == {key: [2, 1] for key in run_keys}


ACTIONS = [
    {"objectType": "set", "name": "hidden", "value": 2},
    {"objectType": "execute", "name": "add", "arguments": [3]},
    {"objectType": "get", "name": "count"},
    {"name": "add", "arguments": []},
    {"name": "hidden", "value": None},
]
OUTCOMES = [
    {"objectType": "set", "name": "hidden", "value": 2},
    {"objectType": "execute", "name": "add", "result": 3},
    {"objectType": "get", "name": "count", "value": 3},
    {"objectType": "execute", "name": "add", "result": 4},
    {"objectType": "set", "name": "hidden", "value": None},
]


def test_actions_answer_in_order_with_or_without_their_kind(api: Any) -> None:
    run_key = api.create()
    assert api.result("POST", f"/run/action/{run_key}", ACTIONS, ritual="REVIVE") == OUTCOMES


def test_actions_of_many_answer_by_key(api: Any) -> None:
    run_keys = [api.create(), api.create()]
    assert api.result("POST", "/run/action", ACTIONS, runKey=run_keys) == dict.fromkeys(run_keys, OUTCOMES)


def test_actions_stop_at_the_first_that_fails_and_tell_what_was_done(api: Any) -> None:
    run_key = api.create()
    actions = [ACTIONS[1], {"objectType": "execute", "name": "fail", "arguments": ["why"]}, ACTIONS[1]]
    response = api.ask("POST", f"/run/action/{run_key}", actions)
    information = response.json()["information"]
    assert (response.status_code, information["code"], information["index"]) == (422, "MODEL_ERROR", 1)
    assert [one["result"] for one in information["completed"]] == [3]


WORLD_RUN = {"morphology": "MANY", "modelFile": "counter.py", "modelContext": {}, "executionContext": {}}


def test_the_run_of_a_world_is_made_once_and_brought_into_memory(api: Any) -> None:
    path = f"/run/world/{fresh('world')}"
    first = api.result("POST", path, WORLD_RUN)
    assert first["scope"]["scopeBoundary"] == "WORLD"
    assert "userKey" not in first["scope"]
    api.done("DELETE", f"/run/{first['runKey']}")
    again = api.result("POST", path, WORLD_RUN)
    assert (again["runKey"], again["runState"]) == (first["runKey"], "ACTIVE")


def test_a_member_plays_the_run_of_the_world_and_others_do_not(api: Any) -> None:
    world = fresh("world")
    run_key = api.result("POST", f"/run/world/{world}", WORLD_RUN, token=FACILITATOR)["runKey"]
    api.result("PATCH", f"/run/{run_key}", {"permit": {"readLock": "PARTICIPANT"}}, token=FACILITATOR)
    body = {"name": "add", "arguments": [1]}
    path = f"/run/operation/{run_key}"
    assert api.result("POST", path, body, token=f"{PLAYER}:Sales:{world}") == 1
    assert api.fault("POST", path, body, token=PLAYER) == (403, "PERMIT_VIOLATION")


def test_removing_the_run_of_a_world_closes_it(api: Any) -> None:
    path = f"/run/world/{fresh('world')}"
    first = api.result("POST", path, WORLD_RUN)
    api.done("DELETE", path)
    assert api.result("GET", f"/run/{first['runKey']}")["closed"] is True
    assert api.result("POST", path, WORLD_RUN)["runKey"] != first["runKey"]


@pytest.mark.parametrize("place", ("/world/run/", "/world/"))
def test_a_world_is_given_another_run(api: Any, place: str) -> None:
    world, run_key = fresh("world"), api.create()
    found = api.result("PATCH", f"{place}{world}", {"runKey": run_key})
    assert (found["worldKey"], found["runKey"]) == (world, run_key)
    assert api.result("POST", f"/run/world/{world}", WORLD_RUN)["runKey"] == run_key


def test_what_a_worker_does_not_hold_of_a_world_is_refused_by_name(api: Any) -> None:
    response = api.ask("PATCH", f"/world/{fresh('world')}", {"displayName": "Blue"})
    assert response.status_code == 501
    assert "displayName" in response.json()["message"]


def test_destroying_a_world_closes_its_runs(api: Any) -> None:
    world = fresh("world")
    first = api.result("POST", f"/run/world/{world}", WORLD_RUN)["runKey"]
    other = api.create()
    api.result("PATCH", f"/world/run/{world}", {"runKey": other})
    api.done("DELETE", f"/world/{world}")
    assert [api.result("GET", f"/run/{key}")["closed"] for key in (first, other)] == [True, True]


def test_the_worlds_of_a_group_and_an_episode(api: Any) -> None:
    group, episode = fresh("group"), fresh("episode")
    worlds = {}
    for address in ({"groupName": group}, {"groupName": group, "episodeName": episode}):
        world = fresh("world")
        worlds[world] = api.result("POST", f"/run/world/{world}", {**WORLD_RUN, "address": address})["runKey"]
    listed = api.result("GET", f"/world/{group}")
    assert {world["worldKey"]: world["runKey"] for world in listed} == worlds
    (one,) = api.result("GET", f"/world/{group}/{episode}")
    assert one["worldKey"] == list(worlds)[1]
    mine = api.result("GET", f"/world/{group}", mine="true", token=f"dev:AUTHOR:al::{one['worldKey']}")
    assert [world["worldKey"] for world in mine] == [one["worldKey"]]


@pytest.mark.parametrize("verb", ("publish", "trigger"))
def test_consensus_is_not_served_and_says_what_to_do(api: Any, verb: str) -> None:
    body = {"actions": [{"name": "add", "arguments": []}]}
    response = api.ask("POST", f"/consensus/{verb}/world/name/stage", body)
    assert (response.status_code, response.json()["information"]["code"]) == (501, "NOT_SERVED")
    assert "/run/action" in response.json()["message"]


def test_pages_report_the_size_they_used(api: Any) -> None:
    group = fresh("group")
    keys = [api.create(group) for _ in range(5)]
    path = f"/run/GROUP/{group}/counter.py"
    page = api.result("GET", path, first=1, max=2, sort="+run.created")
    assert (page["firstResult"], page["maxResults"], page["totalResults"]) == (1, 2, 5)
    assert [run["runKey"] for run in page["values"]] == keys[1:3]
    assert api.result("GET", path)["maxResults"] == 100
    assert api.result("GET", path, max=500)["maxResults"] == 200


def test_pages_lead_to_the_next_the_one_before_and_all(api: Any) -> None:
    group = fresh("group")
    keys = [api.create(group) for _ in range(5)]
    path = f"/run/GROUP/{group}/counter.py"
    seen, first = [], 0
    while True:
        page = api.result("GET", path, first=first, max=2, sort="+run.created")
        seen += [run["runKey"] for run in page["values"]]
        first = page["firstResult"] + page["maxResults"]
        if first >= page["totalResults"]:
            break
    assert seen == keys
    before = page["firstResult"] - page["maxResults"]
    page = api.result("GET", path, first=before, max=page["maxResults"], sort="+run.created")
    assert [run["runKey"] for run in page["values"]] == keys[2:4]
    assert [run["runKey"] for run in api.result("GET", path, first=0)["values"]] == keys
    assert api.result("GET", path, first=9)["values"] == []


def test_a_path_without_its_key_is_no_endpoint(api: Any) -> None:
    assert api.fault("POST", "/run/operation/", {"name": "add"}) == (404, "NO_SUCH_ENDPOINT")
    assert api.fault("PUT", "/run/singular") == (405, "METHOD_NOT_ALLOWED")


def test_headers_tell_where_an_answer_came_from_and_what_the_worker_warns_of(api: Any) -> None:
    run_key = api.create()
    response = api.ask("POST", f"/run/operation/{run_key}", {"name": "odd"})
    assert response.json() == [None, 1.5]
    (warning,) = json.loads(response.headers["x-warnings"])
    assert (warning["code"], response.headers["x-served-from"]) == ("NON_FINITE", "memory")
    api.done("DELETE", f"/run/{run_key}")
    response = api.ask("GET", f"/run/variable/{run_key}/count")
    assert response.headers["x-served-from"] == "archive"
    assert "x-warnings" not in response.headers
    context = {"variables": {f"v{number}": {"save": True} for number in range(200)}}
    response = api.ask("POST", f"/run/restore/{run_key}", {"modelContext": context})
    assert response.headers["x-served-from"] == "restored"
    assert 10 < len(json.loads(response.headers["x-warnings"])) < 200


@pytest.mark.parametrize(
    ("method", "path"),
    (
        ("POST", "/world/group"),
        ("POST", "/world/group/episode"),
        ("GET", "/world/persona"),
        ("PUT", "/world/persona/group/key"),
        ("GET", "/world/assignment"),
        ("GET", "/world/assignment/for/group"),
        ("DELETE", "/world/assignment/group"),
        ("POST", "/world/selfassign/group"),
        ("GET", "/consensus/world/name"),
        ("POST", "/consensus/close/world/name/stage"),
    ),
)
def test_what_is_not_held_is_not_answered_as_if_there_were_none(api: Any, method: str, path: str) -> None:
    assert api.fault(method, path, {} if method in ("POST", "PUT") else None) == (501, "NOT_SERVED")
