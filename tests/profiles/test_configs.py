"""Run configurations beside the models, against a real worker."""

import json
from typing import Any

import pytest

ADD = {"kind": "execute", "name": "add", "arguments": [2]}


@pytest.fixture(scope="module")
def configs(model_root: Any) -> Any:
    """The folder of configurations below the model root."""
    folder = model_root.path / "configs"
    folder.mkdir()
    return folder


def write(configs: Any, name: str, **content: Any) -> None:
    (configs / name).write_text(json.dumps(content))


def started(peer: Any, **fields: Any) -> dict[str, Any]:
    run: dict[str, Any] = peer.result("start_run", wait_seconds=20, **fields)["run"]
    return run


def test_a_configuration_says_what_a_run_is_and_later_ones_change_nothing(
    peer: Any, scribe: str, configs: Any
) -> None:
    write(configs, "nightly.1.json", actions=[ADD], tags=["nightly"], interactive=False)
    write(configs, "nightly.2.json", actions=[ADD, ADD])

    newest = started(peer, model_file=scribe, config={"id": "nightly"})
    first = started(peer, model_file=scribe, config={"id": "nightly", "version": 1}, actions=[])

    assert (newest["config"], newest["result"], newest["tags"]) == ({"id": "nightly", "version": 2}, 4, [])
    assert (first["config"], first["result"], first["tags"]) == (
        {"id": "nightly", "version": 1},
        2,
        ["nightly"],
    )
    assert (first["interactive"], first["finish_reason"]) == (False, "completed")

    write(configs, "nightly.1.json", actions=[ADD, ADD, ADD], tags=["changed"])
    (configs / "nightly.2.json").unlink()
    for run in (newest, first):
        assert peer.result("get_profile", run_key=run["run_key"]) == run
        peer.result("evict_run", run_key=run["run_key"])
        values = peer.result("read_variables", run_key=run["run_key"], names=["total"], ritual="REVIVE")
        assert values == {"total": run["result"]}
    assert started(peer, model_file=scribe, config={"id": "nightly"})["result"] == 6


def test_the_input_is_judged_by_the_schema_of_the_configuration(peer: Any, plain: str, configs: Any) -> None:
    schema = {"type": "object", "required": ["x"], "properties": {"x": {"maximum": 10}}}
    write(configs, "small.1.json", input_schema=schema)

    run = started(peer, model_file=plain, config={"id": "small", "input": {"x": 7}})
    assert run["parameters"] == {"x": 7}
    for wrong in ({"x": 11}, {}, None):
        fields = {} if wrong is None else {"input": wrong}
        error = peer.error("start_run", model_file=plain, config={"id": "small", **fields})
        assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "config.input")


def test_what_is_not_there_is_told(peer: Any, scribe: str, configs: Any) -> None:
    write(configs, "weekly.3.json")
    for config in ({"id": "monthly"}, {"id": "weekly", "version": 2}, {"id": "../secret"}):
        error = peer.error("start_run", model_file=scribe, config=config)
        assert (error["code"], error["status"]) == ("CONFIG_NOT_FOUND", 404)
    assert (
        "there are 3"
        in peer.error("start_run", model_file=scribe, config={"id": "weekly", "version": 2})["message"]
    )


@pytest.mark.parametrize(
    ("text", "reason"), (("{", "not JSON"), ('{"promt": "x"}', "promt"), ("[1]", "configs/broken.1.json"))
)
def test_a_broken_file_is_refused_by_name(
    peer: Any, scribe: str, configs: Any, text: str, reason: str
) -> None:
    (configs / "broken.1.json").write_text(text)
    error = peer.error("start_run", model_file=scribe, config={"id": "broken"})
    assert error["code"] == "INVALID_CONTEXT"
    assert error["information"]["source"] == "configs/broken.1.json"
    assert reason in error["message"]
