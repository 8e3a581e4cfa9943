"""The OpenAPI document is right: what Epicenter's client sends and hears fits it, and nothing that is refused does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.documents import Document, schema_of

RECORDED = Path(__file__).with_name("official_client") / "recorded.jsonl"
BASE = "/api/v3/acme/demo"
KEY = "0" * 36


@pytest.fixture(scope="module")
def document(api: Any) -> Document:
    return Document(api.root.get("/openapi.json").json())


def exchanges() -> Iterator[dict[str, Any]]:
    for line in RECORDED.read_text().splitlines():
        yield json.loads(re.sub(r"<key \d+>", KEY, line))


def test_what_the_official_client_sends_and_hears_is_as_the_document_says(document: Document) -> None:
    judged = 0
    for one in exchanges():
        path = one["path"].removeprefix("/proxy/acme/demo").removeprefix(BASE)
        operation = document.operation(one["method"], path)
        if operation is None:
            assert one["status"] == 501, f"{one['method']} {path}"
            continue
        status = str(one["status"])
        told = f"{operation['operationId']} {status}"
        if status == "200":
            assert document.faults_of(schema_of(operation["responses"]["200"]), one["answer"]) == [], told
        elif status == "204":
            assert "204" in operation["responses"], told
        else:
            assert document.faults_of(schema_of(operation["responses"]["default"]), one["answer"]) == [], told
        if status in ("200", "204") and one["body"] is not None:
            assert document.faults_of(schema_of(operation["requestBody"]), one["body"]) == [], told
        known = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
        assert set(re.findall(r"(?:^|&)(\w+)=", one["query"])) <= known, told
        judged += 1
    assert judged > 80


@pytest.mark.parametrize(
    ("name", "body"),
    (
        ("UpdateBody", {"trackingKey": None}),
        ("UpdateBody", {"marked": "yes"}),
        ("UpdateBody", {"colour": "red"}),
        ("RewindBody", {}),
        ("OperationBody", {"name": ""}),
        ("VariablesBody", {"include": "count", "ritual": "EXILE"}),
        ("VariablesBody", {"include": "count", "timeout": None}),
        ("CreateBody", {"modelFile": "counter.py", "scope": {"scopeBoundary": "PLANET", "scopeKey": "g"}}),
        ("CreateBody", {"modelFile": "counter.py", "scope": {"scopeBoundary": "GROUP", "scopeKey": "g"}, "permit": None}),
        ("MetadataUpdateBody", {"pop": {"a": {"objectType": "middle"}}}),
        ("AssignBody", {"runKey": "short"}),
    ),
)  # fmt: skip
def test_a_body_that_is_refused_does_not_fit(api: Any, document: Document, name: str, body: Any) -> None:
    reference = {"$ref": f"#/components/schemas/{name}"}
    (method, path) = next(
        (method.upper(), path)
        for path, operations in document.content["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation and schema_of(operation["requestBody"]) == reference
    )
    path = re.sub(r"\{\w+\}", KEY, path)
    assert api.fault(
        method, path, body, **({"runKey": KEY} if path == "/run" and method == "PATCH" else {})
    ) == (
        400,
        "INCOMPREHENSIBLE_REQUEST",
    )
    assert document.faults_of(reference, body) != []


def test_a_run_is_told_as_the_document_says(api: Any, document: Document) -> None:
    run = api.result("GET", f"/run/{api.create()}")
    reference = {"$ref": "#/components/schemas/Run"}
    assert document.faults_of(reference, run) == []
    assert run.keys() <= document.content["components"]["schemas"]["Run"]["properties"].keys()
    assert document.faults_of(reference, {**run, "trackingKey": None}) != []


@pytest.mark.parametrize(
    ("where", "own"),
    (
        (
            "",
            "cloneAt listModels listRuns readCaller readEvents readHistory rewindTo runChannel scopeChannel",
        ),
        ("/api/v1", "composableResult composableTraces"),
        ("/clusters", "clusterResult clusterTraces"),
    ),
)
def test_what_an_api_does_not_have_upstream_is_marked(api: Any, where: str, own: str) -> None:
    found = api.root.get(f"{where}/openapi.json").json()
    operations = [one for path in found["paths"].values() for one in path.values()]
    added = [one for one in operations if one["tags"] == ["Additions of model-worker"]]
    assert sorted(one["operationId"] for one in added) == own.split()
    assert all(f"{found['tags'][0]['name']} has no such endpoint" in one["description"] for one in added)


@pytest.mark.parametrize("where", ("", "/api/v1", "/clusters"))
def test_every_answer_is_told_by_its_fields(api: Any, where: str) -> None:
    found = api.root.get(f"{where}/openapi.json").json()
    untold = {
        operation["operationId"]
        for path in found["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        if response.get("content", {}).get("application/json", {}).get("schema") == {}
    }
    # These give a value of the model as it is, or are refused.
    of_models = {"clusterResult", "composableResult", "getVariable", "operation", "publish", "trigger"}
    assert untold <= of_models
