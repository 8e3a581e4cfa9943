"""The result of a run under a schema, and calls judged by schemas of their own."""

import time
from collections.abc import Callable
from typing import Any

import pytest

MODEL = """
from epicenter import Epicenter

calls = 0
value = None


def give(kind="good"):
    global calls
    calls += 1
    return {
        "good": {"score": calls},
        "text": "none",
        "nan": {"score": float("nan")},
        "set": {1},
        "object": object(),
        "slow": {"name": "a" * 40 + "!"},
    }[kind]


def other():
    return "another"


def area(width, height):
    global calls
    calls += 1
    Epicenter.record("calls", calls)
    return width * height


def fail():
    raise ValueError("no")
"""
CONTEXT = """{
  "operations": {
    "area": {
      "argumentsSchema": {"prefixItems": [{"type": "number"}, {"type": "number"}], "minItems": 2, "maxItems": 2},
      "resultSchema": {"type": "number", "maximum": 100}
    }
  }
}"""
SCORE = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
SLOW = {"properties": {"name": {"pattern": "^(a+)+$"}}}


def give(kind: str) -> dict[str, Any]:
    return {"kind": "execute", "name": "give", "arguments": [kind]}


@pytest.fixture(scope="module")
def giver(model_root: Any) -> str:
    name: str = model_root.add("giver", MODEL, CONTEXT)
    return name


@pytest.fixture(scope="module")
def reporter(model_root: Any) -> str:
    """The same model, which says which operation gives the result."""
    name: str = model_root.add("reporter", MODEL, '{"run": {"result": "give"}}')
    return name


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, giver: str, reporter: str) -> Any:
    return make_daemon(model_root.path)


@pytest.fixture(scope="module")
def start(peer: Any, giver: str) -> Callable[..., dict[str, Any]]:
    def start(*kinds: str, model_file: str = giver, schema: Any = SCORE, **fields: Any) -> dict[str, Any]:
        actions = [give(kind) for kind in kinds]
        answer = peer.result(
            "start_run",
            model_file=model_file,
            actions=actions,
            result_schema=schema,
            wait_seconds=20,
            **fields,
        )
        run: dict[str, Any] = answer["run"]
        return run

    return start


def verdict(run: dict[str, Any]) -> tuple[str, Any, list[str] | None, str | None]:
    errors = run["result_errors"]
    return run["status"], run["result"], errors and [one["path"] for one in errors], run["finish_reason"]


def test_a_result_that_fits_is_the_run_s(start: Callable[..., Any]) -> None:
    assert verdict(start("text", "good")) == ("ready", {"score": 2}, None, None)


@pytest.mark.parametrize(
    ("kind", "code", "data"),
    (
        ("text", "validation_error", "none"),
        ("nan", "json_error", {"score": None}),
        ("set", "json_error", [1]),
        ("object", "json_error", None),
    ),
)
def test_a_result_that_does_not_fit_is_null_or_fails_a_strict_run(
    peer: Any, start: Callable[..., Any], kind: str, code: str, data: Any
) -> None:
    assert verdict(start(kind)) == ("ready", None, [""], None)

    strict = start(kind, result_mode="strict")
    assert verdict(strict) == ("failed", None, [""], "validation_error")
    assert strict["error"]["code"] == code
    assert strict["error"].get("data") == data
    again = peer.result("call_operation", run_key=strict["run_key"], name="give")
    assert again == {"score": 2}


def test_nothing_is_made_to_fit(start: Callable[..., Any]) -> None:
    schema = {
        "properties": {"score": {"type": "string"}, "more": {"default": 1}},
        "additionalProperties": False,
    }
    assert verdict(start("good", schema=schema)) == ("ready", None, ["/score"], None)


def test_the_operation_that_gives_the_result_is_judged_at_each_return_to_ready(
    peer: Any, start: Callable[..., Any], reporter: str
) -> None:
    run_key = start(model_file=reporter)["run_key"]

    def after(name: str, *arguments: str) -> tuple[str, Any, list[str] | None, str | None]:
        peer.result("call_operation", run_key=run_key, name=name, arguments=list(arguments))
        return verdict(peer.result("get_profile", run_key=run_key))

    assert verdict(peer.result("get_profile", run_key=run_key)) == ("ready", {"score": 1}, None, None)
    seq = peer.result("get_profile", run_key=run_key)["status_seq"]
    assert after("give", "good") == ("ready", {"score": 2}, None, None)
    assert after("give", "text") == ("ready", None, [""], None)
    assert after("other") == ("ready", None, [""], None)
    assert after("give", "good") == ("ready", {"score": 4}, None, None)
    peer.result("evict_run", run_key=run_key)
    assert after("give", "good") == ("ready", {"score": 5}, None, None)
    assert peer.result("get_profile", run_key=run_key)["status_seq"] == seq + 8


def test_a_strict_run_fails_by_a_later_result_and_recovers_by_a_better_one(
    peer: Any, start: Callable[..., Any], reporter: str
) -> None:
    run_key = start(model_file=reporter, result_mode="strict")["run_key"]

    assert peer.result("call_operation", run_key=run_key, name="give", arguments=["set"]) == [1]
    failed = peer.result("get_profile", run_key=run_key)
    assert (failed["status"], failed["error"]["code"], failed["seq"]) == ("failed", "json_error", 3)
    assert peer.result("call_operation", run_key=run_key, name="give") == {"score": 3}
    assert verdict(peer.result("get_profile", run_key=run_key)) == ("ready", {"score": 3}, None, None)


def test_a_run_without_schema_has_the_value_of_its_result_operation(
    peer: Any, start: Callable[..., Any], reporter: str
) -> None:
    run_key = start(model_file=reporter, schema=None)["run_key"]
    peer.result("call_operation", run_key=run_key, name="give", arguments=["text"])

    assert verdict(peer.result("get_profile", run_key=run_key)) == ("ready", "none", None, None)


@pytest.mark.parametrize(
    ("schema", "path"),
    (
        ({"type": "strong"}, "/type"),
        ({"properties": {"a": {"$ref": "https://example.org/a.json"}}}, "/properties/a/$ref"),
        ({"$schema": "https://example.org/own"}, "/$schema"),
        ({"pattern": "("}, "/pattern"),
    ),
)
def test_what_is_no_schema_starts_no_run(peer: Any, giver: str, schema: Any, path: str) -> None:
    before = peer.result("query_runs", model_file=giver)["total_results"]

    error = peer.error("start_run", model_file=giver, result_schema=schema)

    assert (error["code"], error["status"]) == ("INVALID_SCHEMA", 400)
    assert [one["path"] for one in error["information"]["errors"]] == [path]
    assert peer.result("query_runs", model_file=giver)["total_results"] == before


def test_an_identifier_may_stand_in_the_schemas_of_several_runs(start: Callable[..., Any]) -> None:
    named = {"$id": "https://example.org/result"}
    assert verdict(start("good", schema={**named, **SCORE}))[1] == {"score": 1}
    assert verdict(start("text", schema={**named, "type": "string"}))[1] == "none"
    assert verdict(start("text", schema={**named, **SCORE}))[1] is None


def test_older_dialects_are_honoured(start: Callable[..., Any]) -> None:
    draft_04 = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": {"score": {"minimum": 1, "exclusiveMinimum": True}},
    }
    assert verdict(start("good", schema=draft_04)) == ("ready", None, ["/score"], None)
    assert verdict(start("good", "good", schema=draft_04)) == ("ready", {"score": 2}, None, None)


def test_a_pattern_that_takes_for_ever_costs_its_own_run_the_limit_and_others_nothing(
    peer: Any, connect: Callable[..., Any], daemon: Any, start: Callable[..., Any], giver: str
) -> None:
    other, quick = connect(daemon.endpoint), start("good")["run_key"]
    other.send("start_run", model_file=giver, actions=[give("slow")], result_schema=SLOW, wait_seconds=20)

    worst = 0.0
    while not other.socket.poll(0):
        began = time.monotonic()
        assert start("good")["result"] == {"score": 1}
        peer.result("call_operation", run_key=quick, name="give")
        worst = max(worst, time.monotonic() - began)

    run = other.receive()["result"]["run"]
    assert run["result"] is None
    assert "schema_seconds" in run["result_errors"][0]["error"]
    assert worst > 0


def test_arguments_that_do_not_fit_leave_no_trace_and_the_run_ready(
    peer: Any, start: Callable[..., Any]
) -> None:
    run_key = start("good")["run_key"]

    error = peer.error("call_operation", run_key=run_key, name="area", arguments=[1, "2"])
    listed = peer.error(
        "perform_actions",
        run_key=run_key,
        actions=[give("good"), {"kind": "execute", "name": "area", "arguments": [1]}],
    )

    assert (error["code"], error["status"]) == ("ARGUMENTS_INVALID", 400)
    assert error["information"]["errors"] == [{"path": "/1", "error": "'2' is not of type 'number'"}]
    assert (listed["code"], listed["information"]["index"]) == ("ARGUMENTS_INVALID", 1)
    profile = peer.result("get_profile", run_key=run_key)
    assert (profile["status"], profile["seq"]) == ("ready", 2)
    assert peer.result("call_operation", run_key=run_key, name="area", arguments=[2, 3]) == 6


def test_a_result_that_does_not_fit_its_operation_is_taken_back(peer: Any, start: Callable[..., Any]) -> None:
    run_key = start("good")["run_key"]

    error = peer.error("call_operation", run_key=run_key, name="area", arguments=[20, 30])

    assert (error["code"], error["status"]) == ("RESULT_INVALID", 422)
    assert error["information"]["errors"][0]["error"] == "600 is greater than the maximum of 100"
    profile = peer.result("get_profile", run_key=run_key)
    assert (profile["status"], profile["seq"]) == ("ready", 2)
    values = peer.result("read_variables", run_key=run_key, names=["calls"], ritual="REVIVE")
    assert values == {"calls": 1}
    assert peer.result("call_operation", run_key=run_key, name="area", arguments=[2, 3]) == 6


def test_a_wrong_schema_of_an_operation_refuses_its_calls_and_says_so(peer: Any, model_root: Any) -> None:
    wrong = '{"operations": {"area": {"argumentsSchema": {"items": {"type": "nr"}}}}}'
    model_file = model_root.add("wrong_schema", MODEL, wrong)
    run_key = peer.result("create_run", model_file=model_file)["run_key"]

    error = peer.error("call_operation", run_key=run_key, name="area", arguments=[1, 2])

    assert error["code"] == "ARGUMENTS_INVALID"
    assert "the schema itself is wrong: /items/type" in error["message"]


def test_a_run_that_tells_its_statuses_is_ready_again_when_a_call_is_taken_back(
    peer: Any, start: Callable[..., Any]
) -> None:
    target = {"function": {"service": "nobody", "function": "f"}}
    run_key = start("good", on_status_change=target)["run_key"]

    assert (
        peer.error("call_operation", run_key=run_key, name="area", arguments=[20, 30])["code"]
        == "RESULT_INVALID"
    )

    assert peer.result("get_profile", run_key=run_key)["status"] == "ready"
    assert peer.result("call_operation", run_key=run_key, name="area", arguments=[2, 3]) == 6
    assert peer.result("get_profile", run_key=run_key)["status"] == "ready"
