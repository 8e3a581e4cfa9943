"""start_run: durable when answered, then a course of its own; against a real worker."""

import re
from collections.abc import Callable
from typing import Any

import pytest

ADD = {"kind": "execute", "name": "add", "arguments": [2]}


def history(peer: Any, run_key: str) -> list[tuple[str, str | None]]:
    """(kind, name) of each entry of a run."""
    page = peer.result("read_history", run_key=run_key)
    return [(entry["kind"], entry.get("name")) for entry in page["entries"]]


def started(peer: Any, **fields: Any) -> dict[str, Any]:
    """The profile of a run that was started and has come to rest."""
    run: dict[str, Any] = peer.result("start_run", wait_seconds=20, **fields)["run"]
    assert run["status"] in ("ready", "failed")
    return run


def statuses(peer: Any, run_key: str) -> list[str]:
    page = peer.result("read_events", run_key=run_key)
    return [event["to"] for event in page["events"] if event["kind"] == "status"]


def test_a_run_is_answered_before_it_has_a_process_and_comes_up_by_itself(peer: Any, scribe: str) -> None:
    answer = peer.result("start_run", model_file=scribe)

    run = answer["run"]
    assert answer["created"] is True
    assert (run["status"], run["status_seq"], run["seq"], run["live"]) == ("created", 0, 0, False)
    assert run["interaction"] == scribe

    ready = peer.result("get_profile", run_key=run["run_key"], wait_seconds=20)

    assert (ready["status"], ready["seq"], ready["finish_reason"], ready["error"]) == ("ready", 1, None, None)
    assert ready["live"] is True
    assert statuses(peer, run["run_key"]) == ["starting", "executing", "ready"]
    assert ready["status_seq"] == 3
    assert peer.result("call_operation", run_key=run["run_key"], name="add") == 1


def test_initial_actions_are_performed_in_order_and_logged_like_any_other(peer: Any, scribe: str) -> None:
    actions = [ADD, {"kind": "set", "name": "total", "value": 40}, ADD]
    run = started(peer, model_file=scribe, data={"start": 5}, prompt="go on", actions=actions)

    run_key = run["run_key"]
    assert (run["status"], run["result"], run["parameters"]) == ("ready", 42, {"start": 5})
    assert history(peer, run_key) == [
        ("boot", None),
        ("execute", "begin"),
        ("execute", "ask"),
        ("execute", "add"),
        ("set", "total"),
        ("execute", "add"),
    ]
    entries = peer.result("read_history", run_key=run_key)["entries"]
    assert [entry["request_id"] for entry in entries[1:]] == [f"{run_key}:{number}" for number in range(1, 6)]

    peer.result("evict_run", run_key=run_key)
    values = peer.result("read_variables", run_key=run_key, names=["total", "words"], ritual="REVIVE")
    assert values == {"total": 42, "words": ["go on"]}
    assert peer.result("get_profile", run_key=run_key)["status_seq"] == run["status_seq"]


def test_the_result_is_that_of_the_operation_which_the_model_names(peer: Any, doubling: str) -> None:
    run = started(
        peer, model_file=doubling, data={"x": 21}, actions=[{"kind": "set", "name": "y", "value": 7}]
    )
    assert (run["result"], history(peer, run["run_key"])) == (
        42,
        [("boot", None), ("set", "y"), ("execute", "double")],
    )


def test_data_of_a_model_that_declares_no_operation_for_it_become_presets(peer: Any, plain: str) -> None:
    run = started(peer, model_file=plain, data={"x": 5}, execution_context={"presets": {"x": 1, "y": 3}})
    values = peer.result("read_variables", run_key=run["run_key"], names=["x", "y"], ritual="REVIVE")
    assert values == {"x": 5, "y": 3}

    error = peer.error("start_run", model_file=plain, data=[1])
    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "data")
    assert "run.start" in error["message"]


def test_bad_data_is_refused_before_any_process_is_there(
    make_daemon: Any, model_root: Any, scribe: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)

    error = peer.error("start_run", model_file=scribe, data={"start": "five"})

    assert (error["code"], error["status"]) == ("INVALID_REQUEST", 400)
    assert error["information"]["errors"] == [{"path": "/start", "error": "'five' is not of type 'integer'"}]
    status = peer.result("worker_status")
    assert (status["runs"]["stored"], status["runs"]["live"]) == (0, 0)
    assert [zygote["runs"] for zygote in status["zygotes"]] == [0]
    assert "spawned" not in daemon.logged()


def test_a_prompt_without_an_operation_for_it_is_refused_with_what_to_do(peer: Any, plain: str) -> None:
    error = peer.error("start_run", model_file=plain, prompt="go on")
    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "prompt")
    assert "run.prompt" in error["message"]


@pytest.mark.parametrize(
    ("action", "code", "reason"),
    (
        ({"kind": "execute", "name": "fail"}, "OPERATION_FAILED", "failed_init"),
        ({"kind": "execute", "name": "nobody"}, "UNKNOWN_OPERATION", "failed_init"),
        ({"kind": "execute", "name": "hang"}, "OPERATION_TIMEOUT", "timeout"),
        ({"kind": "execute", "name": "die"}, "PROCESS_EXITED", "worker_lost"),
    ),
)
def test_an_initial_action_that_fails_fails_the_run_and_ends_its_course(
    peer: Any, scribe: str, action: dict[str, Any], code: str, reason: str
) -> None:
    run = started(peer, model_file=scribe, actions=[ADD, action, ADD])

    run_key = run["run_key"]
    assert (run["status"], run["finish_reason"], run["error"]["code"]) == ("failed", reason, code)
    assert run["error"]["message"]
    assert run["result"] is None
    assert statuses(peer, run_key) == ["starting", "executing", "failed"]
    # It can go on: what it did is its history, the rest is not made up for.
    expected = 2 + (100 if action["name"] == "fail" else 0)
    assert peer.result("call_operation", run_key=run_key, name="add") == expected + 1
    after = peer.result("get_profile", run_key=run_key)
    assert (after["status"], after["finish_reason"], after["error"]) == ("ready", None, None)


@pytest.mark.parametrize(("model", "reason"), (("broken", "failed_init"), ("sleepy", "timeout")))
def test_a_model_that_does_not_load_fails_the_run_which_can_be_begun_anew(
    peer: Any, request: pytest.FixtureRequest, model_root: Any, model: str, reason: str
) -> None:
    model_file = request.getfixturevalue(model)
    run = started(peer, model_file=model_file, actions=[ADD])

    run_key = run["run_key"]
    assert (run["status"], run["finish_reason"], run["seq"]) == ("failed", reason, 0)
    assert run["error"]["code"] in ("MODEL_LOAD_FAILED", "BOOT_TIMEOUT")
    assert peer.error("call_operation", run_key=run_key, name="add")["code"] == "RUN_NOT_LIVE"
    assert peer.error("clone_run", run_key=run_key)["code"] == "RUN_NOT_LIVE"
    assert peer.error("restore_run", run_key=run_key)["code"] == "RUN_NOT_LIVE"

    path = model_root.path / model_file
    source = path.read_text()
    path.write_text("total = 0\n\n\ndef add(n):\n    return n\n")
    restored = peer.result("restore_run", run_key=run_key)
    path.write_text(source)

    assert restored["seq"] == 2
    after = peer.result("get_profile", run_key=run_key)
    assert (after["status"], after["result"], after["error"]) == ("ready", 2, None)


def test_what_others_ask_comes_after_the_course(peer: Any, connect: Any, daemon: Any, scribe: str) -> None:
    nap = {"kind": "execute", "name": "nap", "arguments": [0.5]}
    run_key = peer.result("start_run", model_file=scribe, actions=[nap, nap])["run"]["run_key"]

    assert peer.result("call_operation", run_key=run_key, name="add") == 3
    assert history(peer, run_key)[1:] == [("execute", "nap"), ("execute", "nap"), ("execute", "add")]

    slow = peer.result("start_run", model_file=scribe, actions=[nap])["run"]["run_key"]
    error = peer.error("call_operation", run_key=slow, name="add", deadline_seconds=0.1)
    assert (error["code"], error["information"]["applied"]) == ("DEADLINE_EXCEEDED", "no")
    clone = peer.result("clone_run", run_key=slow)
    assert clone["seq"] == 2
    peer.result("evict_run", run_key=slow)
    assert peer.result("read_variables", run_key=slow, names=["total"], ritual="NONE") == {"total": 1}


def test_the_answer_may_wait_for_the_course(peer: Any, scribe: str) -> None:
    nap = {"kind": "execute", "name": "nap", "arguments": [1.5]}
    early = peer.result("start_run", model_file=scribe, actions=[nap], wait_seconds=0.2)
    assert early["run"]["status"] in ("created", "starting", "executing")
    late = peer.result("get_profile", run_key=early["run"]["run_key"], wait_seconds=20)
    assert (late["status"], late["result"]) == ("ready", 1)
    assert peer.error("start_run", model_file=scribe, wait_seconds=21)["code"] == "INVALID_REQUEST"


def test_twenty_starts_at_once_under_one_id_make_one_run(peer: Any, scribe: str) -> None:
    fields = {"model_file": scribe, "run_id": "only-one", "actions": [ADD], "wait_seconds": 20}
    for number in range(20):
        peer.send("start_run", **fields, source={"client_ip": f"10.0.0.{number}"})

    replies = [peer.receive() for _ in range(20)]

    assert [reply["error"] for reply in replies if not reply["ok"]] == []
    answers = [reply["result"] for reply in replies]
    assert sum(answer["created"] for answer in answers) == 1
    assert len({answer["run"]["run_key"] for answer in answers}) == 1
    assert {answer["run"]["result"] for answer in answers} == {2}
    assert peer.result("get_profile", run_id="only-one")["seq"] == 2


def test_a_run_id_is_one_run_of_its_project_and_its_request(peer: Any, scribe: str) -> None:
    first = peer.result("start_run", model_file=scribe, run_id="mine.1", actions=[ADD])
    again = peer.result("start_run", model_file=scribe, run_id="mine.1", actions=[ADD], created_by="me")

    assert (first["created"], again["created"]) == (True, False)
    assert again["run"]["run_key"] == first["run"]["run_key"]
    assert again["run"]["run_id"] == "mine.1"
    error = peer.error("start_run", model_file=scribe, run_id="mine.1")
    assert (error["code"], error["status"]) == ("REQUEST_ID_REUSED", 409)
    assert (error["information"]["path"], error["information"]["run_key"]) == (
        "run_id",
        first["run"]["run_key"],
    )
    for wrong in ("abc", "a b c d", "ä" * 10, "x" * 129):
        assert peer.error("start_run", model_file=scribe, run_id=wrong)["code"] == "INVALID_REQUEST"
    assert peer.error("get_profile", run_id="nobody")["code"] == "RUN_NOT_FOUND"


def test_a_start_that_is_repeated_is_answered_with_the_same_run(
    peer: Any, scribe: str, fresh_id: Callable[[], str]
) -> None:
    request_id = fresh_id()
    first = peer.result("start_run", model_file=scribe, request_id=request_id, actions=[ADD])
    again = peer.result("start_run", model_file=scribe, request_id=request_id, actions=[ADD], wait_seconds=20)

    assert again["created"] is True
    assert again["run"]["run_key"] == first["run"]["run_key"]
    assert (again["run"]["status"], again["run"]["result"]) == ("ready", 2)
    error = peer.error("start_run", model_file=scribe, request_id=request_id)
    assert error["code"] == "REQUEST_ID_REUSED"


def test_ids_of_a_course_that_somebody_took_before_keep_it_from_nothing(peer: Any, scribe: str) -> None:
    other = peer.result("create_run", model_file=scribe)["run_key"]
    nap = {"kind": "execute", "name": "nap", "arguments": [1]}
    run_key = peer.result("start_run", model_file=scribe, actions=[nap, ADD])["run"]["run_key"]
    peer.result("call_operation", run_key=other, name="add", request_id=f"{run_key}:2")

    run = peer.result("get_profile", run_key=run_key, wait_seconds=20)

    assert (run["status"], run["result"]) == ("ready", 3)
    error = peer.error("call_operation", run_key=run_key, name="add", request_id=f"{run_key}:1")
    assert error["code"] == "REQUEST_ID_REUSED"


def test_a_worker_tells_how_many_runs_take_their_course(peer: Any, scribe: str) -> None:
    nap = {"kind": "execute", "name": "nap", "arguments": [1]}
    run_key = peer.result("start_run", model_file=scribe, actions=[nap])["run"]["run_key"]
    assert peer.result("worker_status")["courses"] == {"under_way": 1, "waiting": 0}
    peer.result("get_profile", run_key=run_key, wait_seconds=20)
    assert peer.result("worker_status")["courses"]["under_way"] == 0


def test_a_name_is_the_callers_or_made_of_model_action_and_time(peer: Any, scribe: str) -> None:
    named = peer.result("start_run", model_file=scribe, name="My run")["run"]
    other = peer.result("start_run", model_file=scribe, prompt="go")["run"]
    made = peer.result("create_run", model_file=scribe)

    assert named["name"] == "My run"
    assert re.fullmatch(r"scribe/model\.py: ask \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", other["name"])
    profile = peer.result("get_profile", run_key=made["run_key"])
    assert re.fullmatch(r"scribe/model\.py: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", profile["name"])
    assert (profile["status"], profile["status_seq"], profile["environment"]) == ("ready", 0, "default")


def test_a_run_that_takes_no_requests_is_complete(peer: Any, scribe: str) -> None:
    run = started(peer, model_file=scribe, actions=[ADD], interactive=False)
    assert (run["status"], run["finish_reason"], run["interactive"]) == ("ready", "completed", False)


@pytest.mark.parametrize(("tag", "served"), (("latest", True), ("2", True), ("3", False), ("draft", False)))
def test_a_revision_is_the_one_that_there_is_or_refused(
    peer: Any, scribe: str, tag: str, served: bool
) -> None:
    if served:
        run = peer.result("start_run", model_file=f"{scribe}@{tag}")["run"]
        assert run["interaction"] == scribe
    else:
        error = peer.error("start_run", model_file=f"{scribe}@{tag}")
        assert (error["code"], error["information"]["tag"]) == ("MODEL_NOT_FOUND", tag)


def test_two_revisions_of_a_file_have_two_fingerprints(peer: Any, model_root: Any) -> None:
    model = model_root.add("revised", "x = 1\n")
    first = started(peer, model_file=model)
    model_root.add("revised", "x = 2\n")
    second = started(peer, model_file=model)

    assert first["model"] != second["model"]
    assert first["interaction"] == second["interaction"] == model
    assert peer.result("start_run", model_file=f"{model}@{second['model'][:8]}")["created"]
    error = peer.error("start_run", model_file=f"{model}@{first['model']}")
    assert error["code"] == "MODEL_NOT_FOUND"


def test_an_ephemeral_run_takes_its_course_too_and_leaves_nothing(peer: Any, scribe: str) -> None:
    run = started(peer, model_file=scribe, actions=[ADD], ephemeral=True)

    assert (run["status"], run["result"]) == ("ready", 2)
    assert peer.result("call_operation", run_key=run["run_key"], name="add") == 3
    peer.result("evict_run", run_key=run["run_key"])
    assert peer.error("get_profile", run_key=run["run_key"])["code"] == "RUN_EPHEMERAL"


def test_a_drain_leaves_a_course_to_the_next_worker(
    make_daemon: Any, model_root: Any, scribe: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path)
    nap = {"kind": "execute", "name": "nap", "arguments": [0.3]}
    run_key = connect(daemon.endpoint).result("start_run", model_file=scribe, actions=[nap] * 4)["run"][
        "run_key"
    ]
    assert daemon.stop() == 0
    daemon.start()

    profile = connect(daemon.endpoint).result("get_profile", run_key=run_key, wait_seconds=20)

    assert (profile["status"], profile["result"], profile["seq"]) == ("ready", 4, 5)


def test_courses_wait_for_room_in_memory_and_end_with_their_runs(
    make_daemon: Any, model_root: Any, scribe: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_LIVE_RUN_LIMIT": "1"})
    peer, busy = connect(daemon.endpoint), connect(daemon.endpoint)
    other = peer.result("create_run", model_file=scribe)["run_key"]
    napping = busy.send("call_operation", run_key=other, name="nap", arguments=[3])
    first, second = (
        peer.result("start_run", model_file=scribe, actions=[ADD])["run"]["run_key"] for _ in range(2)
    )
    assert peer.result("get_profile", run_key=first, wait_seconds=0.5)["status"] == "starting"
    assert peer.result("worker_status")["courses"] == {"under_way": 2, "waiting": 1}

    peer.result("delete_run", run_key=second)

    assert peer.result("worker_status")["courses"] == {"under_way": 1, "waiting": 0}
    assert busy.receive()["request_id"] == napping
    run = peer.result("get_profile", run_key=first, wait_seconds=20)
    assert (run["status"], run["result"]) == ("ready", 2)
    assert "bug" not in daemon.logged()
