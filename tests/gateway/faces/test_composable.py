"""The Composable runs API over HTTP: starting, reading, changing, deleting, copying runs, and its faults."""

import itertools
from typing import Any

import pytest

_NUMBERS = itertools.count(1)
DATA = {"my-param": 7}


def fresh(word: str = "run") -> str:
    """An id that no other test uses."""
    return f"{word}-{next(_NUMBERS)}"


def start(runs: Any, **fields: Any) -> dict[str, Any]:
    """A run that has come to rest, whole."""
    body = {"interaction": "scribe.py", "data": DATA, "waitTime": 20, **fields}
    found: dict[str, Any] = runs.result("POST", "", body, code=201)
    return found


def test_a_run_is_durable_when_answered_and_goes_on_by_itself(runs: Any) -> None:
    body = {
        "interaction": "scribe.py",
        "data": DATA,
        "config": {"environment": "default"},
        "stream": False,
    }
    created = runs.result("POST", "", body, headers={"x-interaction-tag": "latest"}, code=201)
    assert created == {"id": created["id"], "status": "created", "created": True}
    run = runs.result("GET", f"/{created['id']}")
    assert run["status"] in ("created", "processing", "completed")
    assert start(runs)["status"] == "completed"


def test_a_run_is_shown_as_the_api_has_it(runs: Any) -> None:
    run = start(runs, tags=["my-tag"], name="My run")
    found = runs.result("GET", f"/{run['id']}", token="dev:AUTHOR:ada")
    assert {
        name: found[name] for name in ("status", "tags", "name", "parameters", "prompt", "token_use")
    } == {
        "status": "completed",
        "tags": ["my-tag"],
        "name": "My run",
        "parameters": DATA,
        "prompt": None,
        "token_use": None,
    }
    assert found["interaction"] == {"id": "scribe.py", "name": "scribe.py"}
    assert found["environment"] == {"id": "default", "name": "default"}
    assert found["config"] == {"environment": "default", "model": found["modelId"]}
    assert found["account"]["id"]
    assert found["project"]["id"]
    assert found["created_at"] <= found["updated_at"]
    assert found["execution_time"] * 1000 == pytest.approx(found["execution_time_ms"])
    assert found["chunks"] == found["resource_use"]["actions"] == 1


def test_the_result_of_the_initial_action_is_the_result_of_the_run(runs: Any) -> None:
    schema = {"type": "object", "properties": {"my-result": {"type": "string"}}, "required": ["my-result"]}
    run = start(runs, result_schema=schema)
    assert (run["result"], run["result_schema"], run["status"]) == ({"my-result": "7"}, schema, "completed")


def test_a_result_that_does_not_fit_is_null_or_fails_the_run_as_asked(runs: Any) -> None:
    schema = {"type": "object", "properties": {"my-result": {"type": "integer"}}}
    lenient = start(runs, result_schema=schema)
    assert (lenient["result"], lenient["status"]) == (None, "completed")
    assert lenient["result_errors"]
    strict = start(runs, result_schema=schema, do_validate=True)
    assert (strict["status"], strict["error"]["code"]) == ("failed", "validation_error")


def test_the_source_is_of_the_authenticated_request_and_never_of_the_body(runs: Any) -> None:
    body = {"interaction": "scribe.py", "data": DATA, "waitTime": 20}
    run = runs.result("POST", "", body, token="dev:AUTHOR:ada", code=201)
    assert run["source"] == {
        "type": "api",
        "label": "AUTHOR",
        "principal_type": "user",
        "principal_id": "ada",
        "client_ip": "127.0.0.1",
    }
    assert run["created_by"] == "user:ada"
    spoofed = runs.ask("POST", "", {"interaction": "scribe.py", "data": DATA, "source": {"type": "system"}})
    assert (spoofed.status_code, spoofed.json()["error"]) == (400, "INCOMPREHENSIBLE_REQUEST")


def test_an_id_of_the_callers_starts_one_run(runs: Any) -> None:
    id_ = fresh()
    first = runs.result("POST", "", {"interaction": "scribe.py", "data": DATA, "id": id_}, code=201)
    again = runs.result("POST", "", {"interaction": "scribe.py", "data": DATA, "id": id_})
    assert (first["id"], first["created"], again["id"], again["created"]) == (id_, True, id_, False)
    other = runs.ask("POST", "", {"interaction": "scribe.py", "data": {"my-param": 8}, "id": id_})
    assert other.status_code == 409
    assert runs.result("GET", f"/{id_}")["id"] == id_


def test_what_has_no_meaning_is_refused_with_the_reason(runs: Any) -> None:
    for name in ("prompt", "tool_definitions", "temperature", "workflow"):
        refused = runs.ask("POST", "", {"interaction": "scribe.py", "data": DATA, name: 1})
        assert refused.status_code == 400
        assert "has no meaning here" in refused.json()["message"]


def test_data_that_does_not_fit_is_the_callers_mistake(runs: Any) -> None:
    refused = runs.ask("POST", "", {"interaction": "scribe.py", "data": {"my-param": "seven"}})
    assert refused.status_code == 400
    assert refused.json()["status"] == 400


def test_tags_of_an_interaction_have_to_agree(runs: Any) -> None:
    body = {"interaction": "scribe.py@2", "data": DATA}
    refused = runs.ask("POST", "", body, headers={"x-interaction-tag": "3"})
    assert refused.status_code == 400
    assert "differ" in refused.json()["message"]


def test_what_people_say_of_a_run_can_be_changed_and_its_status_cannot(runs: Any) -> None:
    id_ = start(runs)["id"]
    changed = runs.result(
        "PUT", f"/{id_}", {"tags": "one", "name": "Other", "evaluation": {"score": 0.37}, "ttl": 60}
    )
    assert (changed["tags"], changed["name"], changed["ttl"]) == (["one"], "Other", 60)
    assert changed["evaluation"]["score"] == 0.37
    assert runs.ask("PUT", f"/{id_}", {"status": "completed"}).status_code == 400


def test_a_copy_has_its_source_as_parent_until_it_is_taken_away(runs: Any) -> None:
    id_ = start(runs)["id"]
    copy = runs.result("POST", "/clone", {"source_run_id": id_})
    assert set(copy) == {"id", "account", "project"}
    assert runs.result("GET", f"/{copy['id']}")["parent"] == id_
    assert runs.result("PUT", f"/{copy['id']}", {"parent": None})["parent"] is None


def test_a_run_may_have_a_parent_and_metadata_from_the_start(runs: Any) -> None:
    parent = start(runs, id=fresh("parent"))
    metadata = {"orderId": "7:a", "round": 3}
    by_id = start(runs, parent=parent["id"], metadata=metadata)
    by_key = start(runs, parent=parent["run_key"])
    assert (by_id["parent"], by_id["metadata"]) == (parent["run_key"], metadata)
    assert (by_key["parent"], by_key["metadata"]) == (parent["run_key"], {})
    children = {one["id"] for one in runs.result("GET", "", parent=parent["id"])}
    assert children == {by_id["id"], by_key["id"]}
    (found,) = runs.result("POST", "/find", {"query": {"metadata.orderId": "7:a", "metadata.round": 3}})
    assert found["id"] == by_id["id"]
    absent = runs.ask("POST", "", {"interaction": "scribe.py", "data": DATA, "parent": "nobody-1"})
    assert (absent.status_code, absent.json()["error"]) == (404, "RUN_NOT_FOUND")
    assert "nobody-1" in absent.json()["message"]
    body = {"interaction": "scribe.py", "data": DATA, "parent": parent["id"]}
    hidden = runs.ask("POST", "", body, token="dev:PARTICIPANT:bob")
    assert (hidden.status_code, hidden.json()["message"]) == (404, "no such run")
    runs.result("DELETE", f"/{parent['id']}")
    assert runs.result("GET", f"/{by_id['id']}")["parent"] == parent["run_key"]


def test_a_deleted_run_is_gone(runs: Any) -> None:
    id_ = start(runs)["id"]
    assert runs.result("DELETE", f"/{id_}") == {"id": id_}
    gone = runs.ask("GET", f"/{id_}")
    assert (gone.status_code, gone.json()["error"]) == (404, "RUN_NOT_FOUND")


def test_a_run_of_others_is_answered_like_one_that_is_not_there(runs: Any) -> None:
    body = {"interaction": "scribe.py", "data": DATA}
    id_ = runs.result("POST", "", body, token="dev:PARTICIPANT:ada", code=201)["id"]
    hidden = runs.ask("GET", f"/{id_}", token="dev:PARTICIPANT:bob")
    absent = runs.ask("GET", "/no-such-run", token="dev:PARTICIPANT:bob")
    assert (hidden.status_code, hidden.json()["error"]) == (404, "RUN_NOT_FOUND")
    assert absent.status_code == 404


def test_who_may_see_a_run_and_not_change_it_is_told_so(runs: Any, cluster: Any, api: Any) -> None:
    permit = {"readLock": "PARTICIPANT", "writeLock": "AUTHOR"}
    key = api.create(modelFile="scribe.py", permit=permit)
    assert runs.result("GET", f"/{key}", token="dev:PARTICIPANT:bob")["id"] == key
    for method, body in (("DELETE", None), ("PUT", {"name": "mine"})):
        refused = runs.ask(method, f"/{key}", body, token="dev:PARTICIPANT:bob")
        assert (refused.status_code, refused.json()["error"]) == (403, "PERMIT_VIOLATION")
    message = {"message": [{"name": "add", "arguments": []}]}
    refused = cluster.ask("POST", f"/runs/{key}/messages", message, token="dev:PARTICIPANT:bob")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PERMIT_VIOLATION")
    assert runs.result("GET", f"/{key}")["name"] != "mine"


def test_a_failed_start_is_told_with_its_error(runs: Any) -> None:
    run = runs.result("POST", "", {"interaction": "broken.py", "waitTime": 20}, code=201)
    assert (run["status"], run["finish_reason"]) == ("failed", "failed_init")
    assert "not today" in run["error"]["message"] or run["error"]["code"]


def test_faults_of_paths_and_methods_have_the_shape_of_this_api(runs: Any) -> None:
    for method, path in (("GET", "/a/b/c/d"), ("PATCH", "/some-run")):
        fault = runs.ask(method, path)
        assert fault.status_code in (404, 405)
        assert {"error", "status", "message"} <= set(fault.json())


def test_who_sends_no_token_is_told_so(runs: Any) -> None:
    assert runs.ask("GET", "/some-run", token=None).status_code == 401


def test_documents_of_the_api_name_its_endpoints(gateway: Any, connect: Any) -> None:
    document = connect("/api/v1").result("GET", "/openapi.json", token=None)
    assert {"/runs", "/runs/{id}", "/runs/{id}/stream"} <= set(document["paths"])
    assert document["servers"][0]["url"] == "/api/v1"
    page = connect("/api/v1").ask("GET", "/docs", token=None)
    assert "/runs/{id}/stream" in page.text
