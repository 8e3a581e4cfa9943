"""Every example of the vendor's description of its first API, with ids filled in: what is answered has the shape shown.

The examples stand here as they do there; ``<…>`` is filled in, and the host is the gateway's.
"""

import json
from typing import Any

import pytest

TOKEN = "<YOUR_JWT_TOKEN>"
REF = """
{
"id": "<RUN_ID>",
"interaction": {
"id": "<INTERACTION_ID>",
"name": "My Interaction"
},
"environment": {
"id": "<ENVIRONMENT_ID>",
"name": "My Environment"
},
"modelId": "<MODEL_ID>",
"status": "completed",
"created_at": "2023-04-20T12:00:00.000Z",
"updated_at": "2023-04-20T12:00:00.000Z",
"account": {
"id": "<ACCOUNT_ID>",
"name": "My Account"
},
"project": {
"id": "<PROJECT_ID>",
"name": "My Project"
},
"tags": [
"my-tag"
]
}
"""
WHOLE = """
{
"parameters": {
"my-param": "my-value"
},
"result": {
"my-result": "my-value"
},
"result_schema": {
"type": "object",
"properties": {
"my-result": {
"type": "string"
}
},
"required": [
"my-result"
]
},
"prompt": "My prompt",
"token_use": {
"prompt": 10,
"completion": 5
},
"execution_time": 0.5,
"config": {
"environment": "<ENVIRONMENT_ID>",
"model": "<MODEL_ID>"
},
"source": {
"type": "api",
"label": "My API Client",
"principal_type": "user",
"principal_id": "<USER_ID>",
"client_ip": "127.0.0.1"
}
}
"""
NEW = """{
"interaction": "<INTERACTION_ID>",
"data": {
"my-param": "my-value"
},
"config": {
"environment": "<ENVIRONMENT_ID>",
"model": "<MODEL_ID>"
},
"stream": false
}"""
FACETS = """{
"facets": [
{
"name": "environments",
"field": "environment"
},
{
"name": "interactions",
"field": "interaction"
},
{
"name": "models",
"field": "modelId"
},
{
"name": "tags",
"field": "tags"
},
{
"name": "status",
"field": "status"
}
],
"query": {
"object": "<OBJECT_ID>"
}
}"""
COUNTS = """
{
"environments": [
{
"_id": "<ENVIRONMENT_ID>",
"count": 10
}
],
"interactions": [
{
"_id": "<INTERACTION_ID>",
"count": 5
}
],
"models": [
{
"_id": "<MODEL_ID>",
"count": 15
}
],
"tags": [
{
"_id": "my-tag",
"count": 20
}
],
"status": [
{
"_id": "completed",
"count": 25
}
],
"total": 30
}
"""
SEARCH = """{
"limit": 10,
"offset": 0,
"query": {
"name": "My Run",
"status": "completed",
"interaction": "<INTERACTION_ID>",
"environment": "<ENVIRONMENT_ID>",
"model": "<MODEL_ID>",
"tags": [
"my-tag"
],
"query": "my search query",
"parent": [
"<PARENT_RUN_ID>"
],
"object": "<OBJECT_ID>",
"start": "2023-04-20T12:00:00.000Z",
"end": "2023-04-21T12:00:00.000Z"
}
}"""
FIND = """{
"query": {
"interaction": "<INTERACTION_ID>",
"status": "completed"
},
"limit": 10,
"select": "id status created_at"
}"""
AUTHORIZED = ("Authorization: Bearer <YOUR_JWT_TOKEN>",)
SENDING = (*AUTHORIZED, "Content-Type: application/json")

EXAMPLES = {
    "list": ("GET", "/runs?limit=10&offset=0", AUTHORIZED, None, f"[{REF}]"),
    "retrieve": ("GET", "/runs/<RUN_ID>", AUTHORIZED, None, json.dumps({**json.loads(REF), **json.loads(WHOLE)})),
    "create": (
        "POST",
        "/runs",
        (*AUTHORIZED, "x-interaction-tag: latest", "Content-Type: application/json"),
        NEW,
        '{"id": "<RUN_ID>", "status": "created"}',
    ),
    "facets": ("POST", "/runs/facets", SENDING, FACETS, COUNTS),
    "search": ("POST", "/runs/search", SENDING, SEARCH, f"[{REF}]"),
    "find": (
        "POST",
        "/runs/find",
        SENDING,
        FIND,
        '[{"id": "<RUN_ID>", "status": "completed", "created_at": "2023-04-20T12:00:00.000Z"}]',
    ),
    "filter options": (
        "GET",
        "/runs/filter-options/environment",
        AUTHORIZED,
        None,
        '[{"id": "<ENVIRONMENT_ID>", "name": "My Environment", "count": 10}]',
    ),
}  # fmt: skip
"""Method, path, headers, body and answer, as they are shown."""
NO_MEANING = ("prompt", "token_use")
"""What the vendor has and a host of Python models has not: null."""
STREAM = """event: chunk
data: {"my-result": "my-value"}
event: close
data: {"status": "completed"}
"""
ECHO = """
def begin(data):
    return {"my-result": data["my-param"]}
"""
CONTEXT = '{"version": "V2", "run": {"start": "begin"}}'
SCHEMA = json.loads(WHOLE)["result_schema"]


@pytest.fixture(scope="module")
def models(model_root: Any) -> Any:
    """A model that answers as the example's interaction does."""
    path = model_root.path
    (path / "echo.py").write_text(ECHO)
    (path / "echo.ctx2").write_text(CONTEXT)
    return path


@pytest.fixture(scope="module")
def ids(api: Any, runs: Any) -> dict[str, str]:
    """What the places of the examples are filled in with: of a run that all of them are about."""
    parent = api.create("everybody", modelFile="echo.py")
    model = runs.result("GET", f"/{parent}")["modelId"]
    return {
        "<INTERACTION_ID>": "echo.py",
        "<ENVIRONMENT_ID>": "default",
        "<MODEL_ID>": model,
        "<PARENT_RUN_ID>": parent,
        "<OBJECT_ID>": "everybody",
        TOKEN: "dev:AUTHOR:ada",
    }


@pytest.fixture(scope="module")
def example(runs: Any, ids: dict[str, str], seeded: Any) -> str:
    """The id of the run."""
    return str(seeded(ids))


@pytest.fixture(scope="module")
def seeded(runs: Any, daemon: Any) -> Any:
    """A run with everything that the examples ask for: some of it only the worker's own clients can say."""

    def start(ids: dict[str, str]) -> str:
        with daemon.client() as client:
            started = client.start_run(
                ids["<INTERACTION_ID>"],
                name="My Run",
                tags=["my-tag"],
                parent=ids["<PARENT_RUN_ID>"],
                scope={"scope_boundary": "GROUP", "scope_key": ids["<OBJECT_ID>"]},
                data={"my-param": "my search query"},
                result_schema=SCHEMA,
                source={
                    "type": "api",
                    "label": "My API Client",
                    "principal_type": "user",
                    "principal_id": "ada",
                    "client_ip": "127.0.0.1",
                },
                wait_seconds=20,
            )
        return str(started["run"]["run_key"])

    return start


def filled(text: str, ids: dict[str, str], example: str) -> str:
    """The text with ids, and a period that is now."""
    for place, value in {**ids, "<RUN_ID>": example}.items():
        text = text.replace(place, value)
    return text.replace("2023-04-20T12", "2026-01-01T12").replace("2023-04-21T12", "2999-01-01T12")


def differences(shown: Any, answered: Any, where: str = "$") -> list[str]:
    """Where an answer is not of the shape that was shown: what is missing, or of another kind."""
    if isinstance(shown, dict):
        if not isinstance(answered, dict):
            return [f"{where}: is {answered!r}"]
        missing = [f"{where}.{name}: is missing" for name in shown if name not in answered]
        inner = [
            difference
            for name in shown.keys() & answered.keys()
            if not (name in NO_MEANING and answered[name] is None)
            for difference in differences(shown[name], answered[name], f"{where}.{name}")
        ]
        return missing + inner
    if isinstance(shown, list):
        if not isinstance(answered, list) or not answered:
            return [f"{where}: is {answered!r}"]
        return [
            difference
            for number, one in enumerate(answered)
            for difference in differences(shown[0], one, f"{where}[{number}]")
        ]
    kinds = (int, float) if isinstance(shown, (int, float)) else (type(shown),)
    is_of_kind = isinstance(answered, kinds) and not isinstance(answered, bool)
    return [] if is_of_kind else [f"{where}: is {answered!r}, shown was {shown!r}"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_answered_as_it_is_shown(
    runs: Any, ids: dict[str, str], example: str, name: str
) -> None:
    method, path, headers, body, shown = EXAMPLES[name]
    host = runs.base.removesuffix("/runs")
    response = runs.client.request(
        method,
        host + filled(path, ids, example),
        headers=dict(filled(one, ids, example).split(": ", 1) for one in headers),
        content=None if body is None else filled(body, ids, example),
    )
    assert response.status_code == (201 if name == "create" else 200), response.text
    answered = response.json()
    expected = json.loads(shown)
    if name == "facets":  # of runs of the scope, one has no tag
        answered["tags"] = [one for one in answered["tags"] if one["_id"] is not None]
    if name == "list":  # others may have no tags
        answered = [one for one in answered if one["tags"]]
    assert differences(expected, answered) == []
    if name in ("search", "retrieve"):
        found = answered[0] if name == "search" else answered
        assert (found["id"], found["status"], found["tags"]) == (example, "completed", ["my-tag"])
    if name == "find":
        assert all(set(one) == {"id", "status", "created_at"} for one in answered)
    if name == "create":
        assert answered["status"] == "created"


def test_the_stream_of_the_example_is_told_as_it_is_shown(
    runs: Any, ids: dict[str, str], example: str
) -> None:
    path = filled("/<RUN_ID>/stream?access_token=<YOUR_JWT_TOKEN>", ids, example)
    response = runs.client.get(runs.base + path)
    assert response.headers["content-type"].startswith("text/event-stream")
    shown = ("event: ", "data: ")
    lines = [line for line in response.text.splitlines() if line.startswith(shown)]
    told = [(line[: line.index(" ")], line) for line in lines]
    expected = [(line[: line.index(" ")], line) for line in STREAM.splitlines()]
    assert [name for name, _ in told] == [name for name, _ in expected]
    for (name, line), (_, was) in zip(told, expected, strict=True):
        if name == "event:":
            assert line == was
        else:
            assert differences(json.loads(was[6:]), json.loads(line[6:])) == []
    assert json.loads(lines[-1][6:]) == {"status": "completed"}


def test_what_is_compared_can_differ() -> None:
    shown = json.loads(REF)
    assert differences(shown, {**shown, "tags": []}) == ["$.tags: is []"]
    assert differences(shown, {**shown, "modelId": None}) == ["$.modelId: is None, shown was '<MODEL_ID>'"]
    del shown["project"]
    assert differences(json.loads(REF), shown) == ["$.project: is missing"]
