"""Tests whose external functions are answered by what was said of them at the start, in place of their providers."""

from collections.abc import Callable
from typing import Any

import pytest

MODEL = """
from epicenter import CallbackError, Epicenter

heard = []


def ask(name, *arguments):
    heard.append(Epicenter.callback(name, list(arguments)))
    return heard[-1]


def catch(name):
    try:
        return ask(name)
    except CallbackError as error:
        return error.code


def often(name, times):
    return [catch(name) for _ in range(times)].count("RESULT_TOO_LARGE")
"""
CONTEXT = """{
  "externalFunctions": {
    "score": {"wire": {"route": {"service": "scores"}}},
    "rank": {"wire": {"route": {"service": "scores"}}}
  },
  "restorations": {"rewind": {"name": "ask"}}
}"""
SCORE = {"score": {"output": {"points": 7}}}


@pytest.fixture(scope="module")
def scorer(model_root: Any) -> str:
    """The model_file of a model that asks external functions."""
    return str(model_root.add("scorer", MODEL, CONTEXT))


@pytest.fixture(scope="module")
def start(peer: Any, scorer: str) -> Callable[..., str]:
    """``start(…)``: the key of a test with mocks that has come to rest."""

    def started(**fields: Any) -> str:
        given = {"test": True, "mocks": SCORE, **fields}
        run = peer.result("start_run", model_file=scorer, wait_seconds=20, **given)["run"]
        assert run["status"] == "ready", run
        return str(run["run_key"])

    return started


def heard(peer: Any, run_key: str) -> Any:
    return peer.result("read_variables", run_key=run_key, names=["heard"], ritual="REVIVE")["heard"]


def test_a_mock_answers_in_calls_and_initial_actions_and_a_replay_hears_what_was_answered(
    peer: Any, start: Callable[..., str]
) -> None:
    points = {"points": 7}
    run_key = start(actions=[{"kind": "execute", "name": "ask", "arguments": ["score", 1]}])

    assert peer.result("call_operation", run_key=run_key, name="ask", arguments=["score", 2]) == points
    assert peer.result("call_operation", run_key=run_key, name="catch", arguments=["rank"]) == "NO_PROVIDER"
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert entries[1]["calls"] == [{"name": "score", "arguments": [1], "result": points}]
    assert heard(peer, run_key) == [points, points]
    peer.result("evict_run", run_key=run_key)
    assert heard(peer, run_key) == [points, points]
    assert peer.result("call_operation", run_key=run_key, name="ask", arguments=["score"]) == points


def test_a_copy_of_a_test_is_a_test_with_the_same_mocks(peer: Any, start: Callable[..., str]) -> None:
    clone = peer.result("clone_run", run_key=start())["run_key"]
    for _ in range(2):
        assert peer.result("call_operation", run_key=clone, name="ask", arguments=["score"]) == {"points": 7}
        peer.result("evict_run", run_key=clone)
    shown = peer.result("get_profile", run_key=clone)
    assert (shown["test"], shown["status"], shown["status_seq"]) == (True, "ready", 0)


def test_lists_leave_tests_out_unless_they_are_asked_for(peer: Any, start: Callable[..., str]) -> None:
    run_key = start(created_by="mocker")
    query = {"created_by": ["mocker"]}
    assert peer.result("search_runs", query=query)["total"] == 0
    (found,) = peer.result("search_runs", query={**query, "test": True})["values"]
    assert found["run_key"] == run_key


def test_mocks_have_the_room_that_answers_of_providers_have(peer: Any, start: Callable[..., str]) -> None:
    """A megabyte in all, for one action."""
    run_key = start(mocks={"score": {"output": "x" * 60_000}})
    refused = peer.result("call_operation", run_key=run_key, name="often", arguments=["score", 20])
    assert 1 <= refused <= 5


@pytest.mark.parametrize(
    ("fields", "words"),
    (
        ({"mocks": SCORE}, "mocks"),
        ({"mocks": SCORE, "test": False}, "say test true"),
        ({"mocks": {"nobody": {"output": 1}}, "test": True}, "'nobody'"),
        ({"mocks": {"ask": {"output": 1}}, "test": True}, "it has rank, score"),
        ({"mocks": {"score": {}}, "test": True}, "output"),
        ({"mocks": {}, "test": True}, "mocks"),
        ({"mocks": {"score": {"output": "x" * 70_000}}, "test": True}, "mocks"),
    ),
)
def test_mocks_that_mean_nothing_start_nothing(
    peer: Any, scorer: str, fields: dict[str, Any], words: str
) -> None:
    error = peer.error("start_run", model_file=scorer, run_id="never-started", **fields)
    assert (error["code"], error["status"]) == ("INVALID_REQUEST", 400)
    assert words in error["message"]
    assert peer.error("get_profile", run_id="never-started")["code"] == "RUN_NOT_FOUND"
