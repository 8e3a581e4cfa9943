"""How long a caller waits, how long an operation may take, how long a model may load: three different limits."""

from collections.abc import Callable
from typing import Any

import psutil
import pytest


def make_run(peer: Any, model_file: str, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    return run_key


def test_a_request_whose_deadline_passes_in_the_queue_is_never_applied(
    peer: Any, counter_model: str, fresh_id: Callable[[], str]
) -> None:
    run_key = make_run(peer, counter_model)
    request_id = fresh_id()
    fields = {"request_id": request_id, "run_key": run_key, "name": "add", "arguments": [50]}
    nap = peer.send("call_operation", run_key=run_key, name="nap", arguments=[1])
    peer.send("call_operation", deadline_seconds=0.2, **fields)

    late = peer.receive()

    assert late["request_id"] == request_id
    assert (late["error"]["code"], late["error"]["status"]) == ("DEADLINE_EXCEEDED", 504)
    assert late["error"]["information"]["applied"] == "no"
    assert peer.receive()["request_id"] == nap
    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 1}
    # Nothing happened, so the same request may be sent again and then happens.
    assert peer.result("call_operation", **fields) == 51


@pytest.mark.parametrize("kind", ("evict_run", "rewind_run", "clone_run", "update_run", "restore_run"))
def test_any_request_whose_deadline_passes_in_the_queue_is_never_applied(
    peer: Any, counter_model: str, kind: str
) -> None:
    run_key = make_run(peer, counter_model)
    peer.result("call_operation", run_key=run_key, name="add", arguments=[5])
    stored = peer.result("worker_status")["runs"]["stored"]
    needed: dict[str, dict[str, Any]] = {"rewind_run": {"rewind_count": 1}, "update_run": {"closed": True}}
    fields = needed.get(kind, {})
    nap = peer.send("call_operation", run_key=run_key, name="nap", arguments=[1])
    asked = peer.send(kind, run_key=run_key, deadline_seconds=0.2, **fields)

    late = peer.receive()

    assert late["request_id"] == asked
    assert late["error"]["code"] == "DEADLINE_EXCEEDED"
    assert late["error"]["information"]["applied"] == "no"
    assert peer.receive()["request_id"] == nap
    run = peer.result("get_run", run_key=run_key)
    assert (run["live"], run["closed"], run["seq"]) == (True, False, 3)
    assert peer.result("worker_status")["runs"]["stored"] == stored


def test_a_request_whose_deadline_passes_at_work_goes_on_and_can_be_asked_for(
    peer: Any, counter_model: str, fresh_id: Callable[[], str]
) -> None:
    run_key = make_run(peer, counter_model)
    request_id = fresh_id()
    fields = {"request_id": request_id, "run_key": run_key, "name": "nap", "arguments": [0.8]}

    error = peer.error("call_operation", deadline_seconds=0.2, **fields)

    assert error["code"] == "DEADLINE_EXCEEDED"
    assert error["information"]["applied"] == "unknown"
    assert error["retryable"] is True
    # While it is still at work, and again when it is long done.
    assert peer.result("call_operation", **fields) == 1
    assert peer.result("call_operation", **fields) == 1
    assert peer.result("get_run", run_key=run_key)["seq"] == 2


def test_a_create_whose_deadline_passes_goes_on_and_can_be_asked_for(peer: Any, model_root: Any) -> None:
    model_file = model_root.add("slow", "import time\ntime.sleep(0.8)\n")

    error = peer.error("create_run", request_id="slow", model_file=model_file, deadline_seconds=0.2)

    assert (error["code"], error["information"]["applied"]) == ("DEADLINE_EXCEEDED", "unknown")
    run = peer.result("create_run", request_id="slow", model_file=model_file)
    assert run["live"] is True


def test_a_read_whose_deadline_passes_has_changed_nothing(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model)
    peer.send("call_operation", run_key=run_key, name="nap", arguments=[0.6])
    peer.send("read_variables", run_key=run_key, names=["counter"], deadline_seconds=0.2)

    error = peer.receive()["error"]

    assert (error["code"], error["information"]["applied"]) == ("DEADLINE_EXCEEDED", "no")
    assert peer.receive()["result"] == 1


def test_each_of_two_who_wait_for_one_request_has_an_own_deadline(
    daemon: Any, peer: Any, counter_model: str, connect: Callable[..., Any], fresh_id: Callable[[], str]
) -> None:
    run_key = make_run(peer, counter_model)
    patient, hasty = connect(daemon.endpoint), connect(daemon.endpoint)
    fields = {"request_id": fresh_id(), "run_key": run_key, "name": "nap", "arguments": [0.8]}
    patient.send("call_operation", **fields)
    hasty.send("call_operation", deadline_seconds=0.3, **fields)

    error = hasty.receive()["error"]

    assert (error["code"], error["information"]["applied"]) == ("DEADLINE_EXCEEDED", "unknown")
    assert patient.receive()["result"] == 1


def test_a_deadline_among_many_runs_says_that_some_may_have_been_served(
    peer: Any, counter_model: str
) -> None:
    idle, busy = make_run(peer, counter_model), make_run(peer, counter_model)
    nap = peer.send("call_operation", run_key=busy, name="nap", arguments=[1])
    many = peer.send("call_operation", run_keys=[idle, busy], name="add", deadline_seconds=0.3)

    late = peer.receive()

    assert late["request_id"] == many
    if late["ok"]:  # the run that was dropped was the last one outstanding
        assert late["result"][idle] == {"ok": True, "result": 1}
        assert late["result"][busy]["error"]["information"]["applied"] == "no"
    else:
        assert late["error"]["information"]["applied"] == "unknown"
    assert peer.receive()["request_id"] == nap
    assert peer.result("get_run", run_key=idle)["seq"] == 2
    assert peer.result("get_run", run_key=busy)["seq"] == 2


def test_an_operation_over_its_own_limit_ends_the_process_and_leaves_the_state(
    daemon: Any, peer: Any, counter_model: str
) -> None:
    run_key = make_run(peer, counter_model)
    peer.result("write_variables", run_key=run_key, values={"secret": 8, "counter": 1})
    before = run_processes(daemon)
    behind: list[str] = []

    hang = peer.send("call_operation", run_key=run_key, name="hang")
    behind.append(peer.send("call_operation", run_key=run_key, name="add"))
    replies = {reply["request_id"]: reply for reply in (peer.receive(), peer.receive())}

    error = replies[hang]["error"]
    assert (error["code"], error["status"]) == ("OPERATION_TIMEOUT", 504)
    assert error["information"]["limit_seconds"] == 1
    assert error["information"]["applied"] == "no"
    # What waited behind it was served by a new process, on the state before.
    assert replies[behind[0]]["result"] == 2
    assert replies[behind[0]]["run"]["served_from"] == "restored"
    assert len(run_processes(daemon)) == len(before)
    assert run_processes(daemon) != before
    values = peer.result("read_variables", run_key=run_key, names=["counter", "secret"])
    assert values == {"counter": 2, "secret": 8}
    assert [entry["seq"] for entry in peer.result("read_history", run_key=run_key)["entries"]] == [1, 2, 3, 4]


def test_a_limit_given_with_the_request_that_starts_the_run_holds(peer: Any, counter_model: str) -> None:
    context = {"operations": {"nap": {"timeoutSeconds": 0.2}}}
    run_key = make_run(peer, counter_model, model_context=context)

    error = peer.error("call_operation", run_key=run_key, name="nap", arguments=[30])

    assert (error["code"], error["information"]["limit_seconds"]) == ("OPERATION_TIMEOUT", 0.2)


def test_the_default_limit_holds_for_operations_without_one(peer: Any, counter_model: str) -> None:
    context = {"defaults": {"operations": {"timeoutSeconds": 0.2}}}
    run_key = make_run(peer, counter_model, model_context=context)

    error = peer.error("call_operation", run_key=run_key, name="nap", arguments=[30])

    assert error["code"] == "OPERATION_TIMEOUT"


def test_the_limit_of_an_operation_holds_inside_a_list_and_undoes_the_list(
    peer: Any, counter_model: str
) -> None:
    run_key = make_run(peer, counter_model)
    actions = [{"kind": "execute", "name": name} for name in ("add", "hang", "add")]

    error = peer.error("perform_actions", run_key=run_key, actions=actions)

    assert (error["code"], error["information"]["applied"]) == ("OPERATION_TIMEOUT", "no")
    values = peer.result("read_variables", run_key=run_key, names=["counter"], ritual="REVIVE")
    assert values == {"counter": 0}
    assert peer.result("get_run", run_key=run_key)["seq"] == 1


def test_a_model_that_does_not_load_in_time_makes_no_run(
    daemon: Any, peer: Any, model_root: Any, wait_until: Callable[..., None]
) -> None:
    model_file = model_root.add("endless", "while True:\n    pass\n", '{"inceptionGracePeriodSeconds": 0.5}')
    before = run_processes(daemon), peer.result("worker_status")["runs"]["stored"]

    error = peer.error("create_run", model_file=model_file)

    assert (error["code"], error["status"]) == ("BOOT_TIMEOUT", 504)
    assert error["information"]["limit_seconds"] == 0.5
    # The answer does not wait for the process to be reaped.
    wait_until(lambda: run_processes(daemon) == before[0])
    assert peer.result("worker_status")["runs"]["stored"] == before[1]


def test_a_model_that_does_not_load_in_time_any_more_leaves_the_run_archived(
    peer: Any, model_root: Any
) -> None:
    body = "from epicenter import Epicenter\nEpicenter.record('x', 1)\n"
    context = '{"inceptionGracePeriodSeconds": 0.5}'
    run_key = make_run(peer, model_root.add("slower", body, context))
    peer.result("evict_run", run_key=run_key)
    model_root.add("slower", body + "import time\ntime.sleep(60)\n", context)

    error = peer.error("restore_run", run_key=run_key)

    assert error["code"] == "BOOT_TIMEOUT"
    assert peer.result("get_run", run_key=run_key)["live"] is False
    # Reading, evicting and closing need no process, and do not suffer from the one that cannot start.
    peer.send("restore_run", run_key=run_key)
    reading = peer.send("read_variables", run_key=run_key, names=["x"])
    evicting = peer.send("evict_run", run_key=run_key)
    replies = {reply["request_id"]: reply for reply in (peer.receive() for _ in range(3))}
    assert replies[reading]["result"] == {"x": 1}
    assert replies[evicting]["ok"]


def run_processes(daemon: Any) -> set[int]:
    """Process ids of the run processes: what the zygotes forked."""
    worker = psutil.Process(daemon.pid)
    return {child.pid for zygote in worker.children() for child in zygote.children()}


def test_a_handler_that_outlasts_the_limit_of_its_event_leaves_the_run_archived(
    peer: Any, model_root: Any
) -> None:
    model_file = model_root.add(
        "slow_handler",
        """
        from epicenter import Epicenter

        def linger():
            while True:
                pass

        Epicenter.subscribe("onRestored", linger)
        """,
        '{"events": {"onRestored": {"timeoutSeconds": 0.5}}}',
    )
    run_key = make_run(peer, model_file)
    peer.result("evict_run", run_key=run_key)

    error = peer.error("restore_run", run_key=run_key)

    assert error["code"] == "BOOT_TIMEOUT"
    assert "onRestored" in error["message"]
    assert "0.5 s" in error["message"]
    assert peer.result("get_run", run_key=run_key)["live"] is False
