"""Properties that are accepted without effect, by path and with what to do instead."""

from typing import Any

import pytest

from worker.runs.contexts import Archive, execution_context, model_context
from worker.runs.ignored import MAX_TOLD, ignored_of_execution, ignored_properties, warnings_of


def told(raw: dict[str, Any], archive: Archive = "recorded") -> list[str]:
    return [path for path, _ in ignored_properties(model_context("model.ctx2", raw), archive)]


@pytest.mark.parametrize(
    ("raw", "paths"),
    (
        ({"control": {"excel": {"autoRecalculate": True}}}, ["control"]),
        ({"enableStateCache": True}, ["enableStateCache"]),
        ({"startDebugger": True}, ["startDebugger"]),
        (
            {"variables": {"x": {"reportPer": 2, "reportOffset": 0}}},
            ["variables.x.reportPer", "variables.x.reportOffset"],
        ),
        ({"variables": {"x": {"resetDecision": False}}}, ["variables.x.resetDecision"]),
        ({"defaults": {"variables": {"sensitivity": {}}}}, ["defaults.variables.sensitivity"]),
        ({"variables": {"x": {"save": True}}}, ["variables.x.save"]),
        ({"defaults": {"variables": {"save": True}}}, ["defaults.variables.save"]),
        ({"archive": "all", "variables": {"x": {"save": True}}}, []),
        ({"variables": {"x": {"save": False, "dialect": "point_in_time"}}}, []),
        ({"enableStateCache": False, "startDebugger": False, "control": {}}, []),
    ),
)
def test_what_has_no_effect_is_told_by_path(raw: dict[str, Any], paths: list[str]) -> None:
    assert told(raw) == paths


def test_a_context_wins_over_the_setting_of_the_worker() -> None:
    saved = {"variables": {"x": {"save": True}}}
    assert told(saved, "all") == []
    assert told({**saved, "archive": "recorded"}, "all") == ["variables.x.save"]


def test_the_advice_of_a_saved_variable_is_the_call_to_write() -> None:
    context = model_context("model.ctx2", {"variables": {"price": {"save": True}}})
    (warning,) = warnings_of("model.ctx2", ignored_properties(context, "recorded"))
    assert warning["code"] == "PROPERTY_IGNORED"
    assert (warning["source"], warning["path"]) == ("model.ctx2", "variables.price.save")
    assert 'Epicenter.record("price", price)' in warning["message"]


def test_a_tool_of_an_execution_context_is_told() -> None:
    context = execution_context("execution_context", {"tool": {"stella": {"gameMode": True}}})
    assert [path for path, _ in ignored_of_execution(context)] == ["tool"]


def test_the_warnings_of_a_context_are_bounded() -> None:
    context = model_context("x", {"variables": {f"v{n}": {"save": True} for n in range(MAX_TOLD + 1)}})
    assert len(warnings_of("x", ignored_properties(context, "recorded"))) == MAX_TOLD
