"""The JSON Schema of context files: it says what the worker judges."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from worker.cli.main import app
from worker.cli.schema import DESCRIPTIONS, context_schema
from worker.runs.contexts import ModelContext, context_problems

VALIDATOR = Draft202012Validator(context_schema())

GOOD: tuple[dict[str, Any], ...] = (
    {},
    {"$schema": "ctx2.json", "version": "v2", "language": "python3", "modelVersion": 1.5},
    {"minimumLogLevel": "warn", "redirectStandardOut": False, "somethingElse": [1]},
    {"operations": {"step": {"timeoutSeconds": 5, "inert": True, "own": 1}}},
    {"operations": {"step": {"approval": True}, "go": {"approval": ["FACILITATOR", "Sales"]}}},
    {"operations": {"step": {"argumentsSchema": {"maxItems": 2}, "resultSchema": True}}},
    {"run": {"result": "report", "private": ["reset"]}, "approvalRole": "FACILITATOR"},
    {"events": {"onRestored": {"timeoutSeconds": 9}, "onTerminating": {"timeoutSeconds": 5}, "mine": {}}},
    {"defaults": {"operations": {"timeoutSeconds": 1}, "events": {"timeoutSeconds": 1}, "variables": {}}},
    {"restorations": {"assembly": [{"replay": {}}], "rewind": {"name": "step"}, "divergence": "warn"}},
    {"dependencies": [{"pypi": {"package": "numpy"}}]},
    {"externalFunctions": {"a": {"wire": {"route": {"service": "s", "version": 1.5}, "arguments": []}}}},
    {"externalFunctions": {"a": {"leaderboard": {}}, "b": {"objectType": "leaderboard", "x": 1}}},
    {"externalFunctions": {"a": {"objectType": "wire", "route": {"service": "s", "version": "1"}}}},
)
BAD: tuple[dict[str, Any], ...] = (
    {"version": "V3"},
    {"modelVersion": "1"},
    {"minimumLogLevel": "LOUD"},
    {"redirectStandardOut": "yes"},
    {"operations": []},
    {"operations": {"step": {"timeoutSeconds": "5"}}},
    {"operations": {"step": {"timeoutSeconds": 0}}},
    {"operations": {"step": {"inert": 1}}},
    {"operations": {"step": {"approval": []}}},
    {"operations": {"step": {"approval": 1}}},
    {"operations": {"step": {"argumentsSchema": "x"}}},
    {"run": {"result": ""}},
    {"run": {"private": "reset"}},
    {"approvalRole": []},
    {"events": {"onRestored": {"timeoutSeconds": -1}}},
    {"events": {"onTerminating": {"timeoutSeconds": 6}}},
    {"defaults": {"operations": {"timeoutSeconds": 100_000}}},
    {"restorations": {"rewind": {"name": ""}}},
    {"restorations": {"divergence": "ignore"}},
    {"restorations": {"assembly": {"replay": {}}}},
    {"dependencies": ["numpy"]},
    {"externalFunctions": {"a": {}}},
    {"externalFunctions": {"a": {"one": {}, "two": {}}}},
    {"externalFunctions": {"": {"one": {}}}},
    {"externalFunctions": {"a": {"wire": {"route": {"version": "1"}}}}},
    {"externalFunctions": {"a": {"objectType": "wire"}}},
)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(context_schema())


@pytest.mark.parametrize("raw", GOOD)
def test_it_accepts_what_the_worker_accepts(raw: dict[str, Any]) -> None:
    assert context_problems(raw) == []
    assert list(VALIDATOR.iter_errors(raw)) == []


@pytest.mark.parametrize("raw", BAD)
def test_it_refuses_what_the_worker_refuses(raw: dict[str, Any]) -> None:
    assert context_problems(raw) != []
    assert list(VALIDATOR.iter_errors(raw)) != []


def test_every_property_of_the_context_is_explained_and_nothing_else() -> None:
    parts = {**context_schema()["$defs"], "ModelContext": context_schema()}
    assert set(DESCRIPTIONS["ModelContext"]) == set(ModelContext.model_fields)
    for kind, descriptions in DESCRIPTIONS.items():
        properties = parts[kind]["properties"]
        assert {name: properties[name]["description"] for name in descriptions} == descriptions


def test_the_command_prints_it() -> None:
    done = CliRunner().invoke(app, ["schema"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == context_schema()
