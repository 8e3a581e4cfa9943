"""The OpenAPI document is right: what Epicenter's client sends and hears fits it, and nothing that is refused does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

RECORDED = Path(__file__).with_name("official_client") / "recorded.jsonl"
BASE = "/api/v3/acme/demo"
KEY = "0" * 36


@pytest.fixture(scope="module")
def document(api: Any) -> Any:
    return api.root.get("/openapi.json").json()


def fits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """Why a value does not fit; empty where it does."""
    whole = {**schema, "components": document["components"]}
    errors = Draft202012Validator(whole).iter_errors(value)
    return [f"{error.json_path}: {error.message}"[:300] for error in errors]


def exchanges() -> Iterator[dict[str, Any]]:
    for line in RECORDED.read_text().splitlines():
        yield json.loads(re.sub(r"<key \d+>", KEY, line))


def operation_of(document: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    """The operation whose path has the fewest parts that are free."""
    found = []
    for template, operations in document["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if method.lower() in operations and re.fullmatch(pattern, path):
            found.append((template.count("{"), operations[method.lower()]))
    return min(found, key=lambda one: one[0])[1] if found else None


def schema_of(holder: dict[str, Any]) -> Any:
    return holder["content"]["application/json"]["schema"]


def test_what_the_official_client_sends_and_hears_is_as_the_document_says(document: Any) -> None:
    judged = 0
    for one in exchanges():
        path = one["path"].removeprefix("/proxy/acme/demo").removeprefix(BASE)
        operation = operation_of(document, one["method"], path)
        if operation is None:
            assert one["status"] == 501, f"{one['method']} {path}"
            continue
        status = str(one["status"])
        told = f"{operation['operationId']} {status}"
        if status == "200":
            assert fits(document, schema_of(operation["responses"]["200"]), one["answer"]) == [], told
        elif status == "204":
            assert "204" in operation["responses"], told
        else:
            assert fits(document, schema_of(operation["responses"]["default"]), one["answer"]) == [], told
        if status in ("200", "204") and one["body"] is not None:
            assert fits(document, schema_of(operation["requestBody"]), one["body"]) == [], told
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
def test_a_body_that_is_refused_does_not_fit(api: Any, document: Any, name: str, body: Any) -> None:
    reference = {"$ref": f"#/components/schemas/{name}"}
    (method, path) = next(
        (method.upper(), path)
        for path, operations in document["paths"].items()
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
    assert fits(document, reference, body) != []


def test_a_run_is_told_as_the_document_says(api: Any, document: Any) -> None:
    run = api.result("GET", f"/run/{api.create()}")
    reference = {"$ref": "#/components/schemas/Run"}
    assert fits(document, reference, run) == []
    assert run.keys() <= document["components"]["schemas"]["Run"]["properties"].keys()
    assert fits(document, reference, {**run, "trackingKey": None}) != []
