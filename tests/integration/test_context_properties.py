"""Properties that have no effect on a Python model: accepted, told to who gave them, and shown by ``check``."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from worker.cli.main import app

CONTEXT = """{
  "control": {"excel": {"autoRecalculate": true}},
  "enableStateCache": true,
  "variables": {
    "x": {"save": true},
    "y": {"reportPer": 2}
  }
}"""
PATHS = ["control", "enableStateCache", "variables.x.save", "variables.y.reportPer"]
SOURCE = "x = 1\ny = 2\n\ndef step():\n    return x\n"


@pytest.fixture(scope="module")
def model_file(model_root: Any) -> str:
    name: str = model_root.add("ignored", SOURCE, CONTEXT)
    return name


def ignored(reply: dict[str, Any]) -> list[tuple[str, str]]:
    assert reply["ok"], reply
    warnings = reply.get("warnings", [])
    assert all(warning["message"].startswith(f"{warning['path']} has no effect") for warning in warnings)
    return [
        (warning["source"], warning["path"]) for warning in warnings if warning["code"] == "PROPERTY_IGNORED"
    ]


def test_who_brings_a_run_into_memory_is_told(peer: Any, model_file: str) -> None:
    in_file = [("ignored/model.ctx2", path) for path in PATHS]
    created = peer.ask("create_run", model_file=model_file)
    run_key = created["result"]["run_key"]
    assert ignored(created) == in_file
    assert ignored(peer.ask("clone_run", run_key=run_key)) == in_file
    peer.result("evict_run", run_key=run_key)
    assert ignored(peer.ask("restore_run", run_key=run_key)) == in_file


def test_who_only_plays_a_run_is_not_told(peer: Any, model_file: str) -> None:
    run_key = peer.result("create_run", model_file=model_file)["run_key"]
    assert ignored(peer.ask("call_operation", run_key=run_key, name="step")) == []
    peer.result("evict_run", run_key=run_key)
    assert ignored(peer.ask("call_operation", run_key=run_key, name="step")) == []


def test_a_context_of_the_request_is_named_as_such(peer: Any, counter_model: str) -> None:
    reply = peer.ask(
        "create_run",
        model_file=counter_model,
        model_context={"startDebugger": True},
        execution_context={"tool": {"stella": {"gameMode": True}}},
    )
    assert ignored(reply) == [("model_context", "startDebugger"), ("execution_context", "tool")]
    assert reply["result"]["execution_context"] == {"tool": {"stella": {"gameMode": True}}}


def test_another_dialect_is_refused(peer: Any, counter_model: str) -> None:
    error = peer.error(
        "create_run", model_file=counter_model, model_context={"variables": {"x": {"dialect": "SERIES"}}}
    )
    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", "variables.x.dialect")


def test_check_tells_line_and_advice(model_root: Any, model_file: str, capfd: Any) -> None:
    result = CliRunner().invoke(app, ["check", str(model_root.path / model_file), "--json"])
    report = json.loads(result.stdout)
    found = [one for one in report["findings"] if one["code"] == "PROPERTY_IGNORED"]
    assert [(one["subject"], one["line"]) for one in found] == [
        ("control", 2),
        ("enableStateCache", 3),
        ("variables.x.save", 5),
        ("variables.y.reportPer", 6),
    ]
    assert 'Epicenter.record("x", x)' in found[2]["advice"]
    assert result.exit_code == 0


UNRECORDED = "x = 1\n\n\ndef step():\n    global x\n    x += 1\n"


def test_check_tells_of_archive_where_a_variable_is_never_recorded(model_root: Any) -> None:
    path = model_root.path / model_root.add("unrecorded", UNRECORDED)
    report = json.loads(CliRunner().invoke(app, ["check", str(path), "--json"]).stdout)
    (found,) = [one for one in report["findings"] if one["code"] == "UNRECORDED_VARIABLE"]
    assert (found["subject"], '"archive": "all"' in found["advice"]) == ("x", True)


def test_check_finds_nothing_unrecorded_where_all_is_archived_and_plays_with_mapped_files(
    model_root: Any,
) -> None:
    source = UNRECORDED + "\n\nimport rates\n\nif rates.RATE != 9:\n    raise ValueError(rates.RATE)\n"
    context = {"archive": "all", "mappedFiles": {"rates.py": "rates_high.py"}}
    model_file = model_root.add(
        "archived", source, json.dumps(context), rates="RATE = 1", rates_high="RATE = 9"
    )
    result = CliRunner().invoke(app, ["check", str(model_root.path / model_file), "--json"])
    assert json.loads(result.stdout)["findings"] == []
    assert result.exit_code == 0
