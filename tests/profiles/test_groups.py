"""What runs are grouped and found by: environments, revisions, tags, when they were made; and what stays with them."""

import venv
from collections.abc import Callable
from typing import Any

import pytest

ADD = {"kind": "execute", "name": "add", "arguments": [2]}


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A worker with an environment besides its own."""
    folder = tmp_path_factory.mktemp("other")
    venv.create(folder / "venv", symlinks=True)
    config = folder / "worker.toml"
    config.write_text(f'[environments.other]\npython = "{folder}/venv/bin/python"\n')
    return make_daemon(model_root.path, arguments=("--config", str(config)))


@pytest.fixture(scope="module")
def start(peer: Any, plain: str) -> Callable[..., dict[str, Any]]:
    """``start(…)``: the profile of a run that was started and has come to rest."""

    def started(**fields: Any) -> dict[str, Any]:
        run: dict[str, Any] = peer.result("start_run", wait_seconds=20, **{"model_file": plain, **fields})[
            "run"
        ]
        assert run["status"] == "ready", run["error"]
        return run

    return started


def facet(peer: Any, field: str, creator: str) -> dict[str, int]:
    """How many runs of a creator have which value."""
    asked = [{"name": "values", "field": field}]
    counted = peer.result("facet_runs", facets=asked, query={"created_by": [creator]})
    return {one["value"]: one["count"] for one in counted["facets"]["values"]["buckets"]}


def test_runs_are_grouped_by_the_environment_that_they_run_in(peer: Any, start: Any) -> None:
    other = {"model_context": {"workerImage": "other"}}
    for fields in ({}, other, other):
        start(created_by="grouped", **fields)

    assert facet(peer, "environment", "grouped") == {"other": 2, "default": 1}
    found = peer.result("search_runs", query={"created_by": ["grouped"], "environment": ["other"]})
    assert [run["environment"] for run in found["values"]] == ["other", "other"]


def test_revisions_of_a_file_are_models_of_their_own_and_one_interaction(
    peer: Any, model_root: Any, start: Any
) -> None:
    models = []
    for source in ("x = 1\n", "x = 2\n", "x = 2\n"):
        model_root.add("grouped", source)
        models.append(start(model_file="grouped/model.py", created_by="reviser")["model"])

    assert facet(peer, "model", "reviser") == {models[0]: 1, models[2]: 2}
    assert facet(peer, "interaction", "reviser") == {"grouped/model.py": 3}


def test_tags_are_kept_once_in_the_order_given(peer: Any, start: Any) -> None:
    run = start(created_by="tagger", tags=["b", "a", "b", "c", "a"])

    assert run["tags"] == ["b", "a", "c"]
    changed = peer.result("update_profile", run_key=run["run_key"], tags=["z", "y", "z"])
    assert changed["tags"] == ["z", "y"]
    assert facet(peer, "tags", "tagger") == {"z": 1, "y": 1}


def test_a_run_with_several_of_the_tags_counts_once(peer: Any, start: Any) -> None:
    for tags in (["only-x", "only-y"], ["only-x"], ["only-z"]):
        start(tags=tags)
    for tags, total in (
        (["only-x", "only-y"], 2),
        (["only-x", "only-z"], 3),
        (["only-y"], 1),
        (["only-w"], 0),
    ):
        assert peer.result("search_runs", query={"any_tags": tags})["total"] == total
        facets = [{"name": "tags", "field": "tags"}]
        assert peer.result("facet_runs", facets=facets, query={"any_tags": tags})["total"] == total
    assert peer.result("search_runs", query={"tags": ["only-x", "only-y"]})["total"] == 1


def test_a_period_has_both_its_ends(peer: Any, start: Any) -> None:
    """Times without a zone are UTC; those with one mean what they say."""
    made = start(created_by="timer")["created_at"]
    assert made.endswith("Z")

    def found(**period: str) -> int:
        page = peer.result("search_runs", query={"created_by": ["timer"], **period})
        return int(page["total"])

    assert found(start=made, end=made) == 1
    assert found(start=made.removesuffix("Z"), end=made.removesuffix("Z") + "+00:00") == 1
    assert found(start=made.removesuffix("Z") + "-00:01") == 0
    assert found(end=made.removesuffix("Z") + "+00:01") == 0


def test_a_rewind_keeps_what_people_say_of_a_run(peer: Any, scribe: str, start: Any) -> None:
    run_key = start(model_file=scribe, actions=[ADD, ADD], metadata={"a": 1}, tags=["t"])["run_key"]
    peer.result("update_metadata", run_key=run_key, set={"b": 2})

    peer.result("rewind_run", run_key=run_key, rewind_count=1)

    shown = peer.result("get_profile", run_key=run_key)
    assert (shown["metadata"], shown["tags"]) == ({"a": 1, "b": 2}, ["t"])
    assert peer.result("read_variables", run_key=run_key, names=["total"], ritual="REVIVE") == {"total": 2}


def test_what_a_run_took_leaves_out_how_long_its_requests_waited(
    peer: Any, connect: Any, daemon: Any, scribe: str
) -> None:
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    others = connect(daemon.endpoint)
    for _ in range(4):
        others.send("call_operation", run_key=run_key, name="nap", arguments=[0.4])
    for _ in range(4):
        assert others.receive()["ok"]

    assert 1.6 <= peer.result("get_profile", run_key=run_key)["execution_seconds"] < 3
