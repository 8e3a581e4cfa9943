"""Run configurations: what they may hold, and who wins where a request says something too."""

from typing import Any

import pytest

from protocol.errors import ErrorCode
from protocol.profiles import StartRun
from worker.errors import RequestError
from worker.runs.configurations import FILE_NAME, RunConfiguration, configuration, configured

OF_CONFIG: dict[str, Any] = {
    "prompt": "from config",
    "actions": [{"kind": "get", "name": "c"}],
    "attached_functions": [{"function": "c"}],
    "result_schema": {"type": "object"},
    "result_mode": "strict",
    "context": {"from": "config"},
    "model_context": {"from": "config"},
    "interactive": False,
    "reasoning_traces": False,
    "call_summarization": False,
    "ttl_seconds": 1,
    "name": "config",
    "tags": ["config"],
}
OF_REQUEST: dict[str, Any] = {
    "prompt": "from request",
    "actions": [{"kind": "get", "name": "r"}],
    "attached_functions": [{"function": "r"}],
    "result_schema": True,
    "result_mode": "null",
    "context": {"from": "request"},
    "model_context": {"from": "request"},
    "interactive": True,
    "reasoning_traces": True,
    "call_summarization": True,
    "ttl_seconds": 2,
    "name": "request",
    "tags": ["request"],
}
CONFIG_WINS = (
    *("prompt", "actions", "attached_functions", "result_schema", "result_mode", "context", "model_context"),
)


def start(**fields: Any) -> StartRun:
    return StartRun.model_validate(
        {"type": "start_run", "request_id": "r", "model_file": "m/model.py", "config": {"id": "c"}, **fields}
    )


def merged(request: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    both = configured(start(**request), RunConfiguration.model_validate(config), "m/model.py")
    return both.model_dump(mode="json")


@pytest.mark.parametrize("name", sorted(OF_CONFIG))
@pytest.mark.parametrize(
    ("in_request", "in_config"), ((True, True), (True, False), (False, True), (False, False))
)
def test_the_configuration_wins_for_content_and_the_request_for_flags(
    name: str, in_request: bool, in_config: bool
) -> None:
    request = {name: OF_REQUEST[name]} if in_request else {}
    config = {name: OF_CONFIG[name]} if in_config else {}
    wins_over = in_config and (name in CONFIG_WINS or not in_request)
    expected = merged({name: OF_CONFIG[name]}, {}) if wins_over else merged(request, {})
    assert merged(request, config) == expected


def test_an_empty_list_says_that_there_is_nothing_and_an_absent_one_says_nothing() -> None:
    actions = {"actions": OF_REQUEST["actions"]}
    assert merged(actions, {"actions": []})["actions"] == []
    assert merged(actions, {})["actions"] == merged(actions, {"prompt": "p"})["actions"] != []


def test_presets_are_laid_over_each_other_by_name() -> None:
    below = {"execution_context": {"presets": {"a": 1, "b": 1}, "version": "V1"}}
    above = {"execution_context": {"presets": {"b": 2, "c": 2}}}
    assert merged(below, above)["execution_context"] == {
        "version": "V1",
        "presets": {"a": 1, "b": 2, "c": 2},
    }


def test_the_input_of_a_configuration_is_the_data_of_the_run() -> None:
    both = merged({"config": {"id": "c", "input": {"x": 1}}}, {})
    assert both["data"] == {"x": 1}
    with pytest.raises(RequestError) as refused:
        merged({"config": {"id": "c", "input": {"x": 1}}, "data": {"x": 2}}, {})
    assert (refused.value.code, refused.value.information["path"]) == (ErrorCode.INVALID_REQUEST, "data")


def test_a_configuration_of_another_model_is_refused() -> None:
    assert merged({}, {"model_file": "m/model.py"})
    with pytest.raises(RequestError, match="for the model other"):
        merged({}, {"model_file": "other/model.py"})


@pytest.mark.parametrize(
    ("raw", "path"),
    (
        ({"promt": "x"}, "promt"),
        ({"attached_functions": []}, "attached_functions"),
        ({"actions": [{"kind": "jump", "name": "x"}]}, "actions.0"),
        ({"interactive": "no"}, "interactive"),
        ([], ""),
    ),
)
def test_what_is_wrong_in_a_file_is_named(raw: Any, path: str) -> None:
    with pytest.raises(RequestError) as refused:
        configuration("configs/c.1.json", raw)
    assert refused.value.code is ErrorCode.INVALID_CONTEXT
    assert refused.value.information == {"source": "configs/c.1.json", "path": path}


@pytest.mark.parametrize(
    ("name", "is_one"),
    (
        ("nightly.1.json", True),
        ("a_b-C.20.json", True),
        ("nightly.json", False),
        ("nightly.0.json", False),
        ("nightly.01.json", False),
        ("a.b.1.json", False),
        (".1.json", False),
        ("nightly.1.json~", False),
    ),
)
def test_file_names(name: str, is_one: bool) -> None:
    assert (FILE_NAME.fullmatch(name) is not None) is is_one
