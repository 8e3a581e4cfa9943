"""What is known of runs beside their state: profiles read, changed and deleted, what actions took, why runs ended."""

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil

ADD = {"kind": "execute", "name": "add", "arguments": [2]}


def started(peer: Any, **fields: Any) -> dict[str, Any]:
    run: dict[str, Any] = peer.result("start_run", wait_seconds=20, **fields)["run"]
    return run


def profile(peer: Any, run_key: str) -> dict[str, Any]:
    found: dict[str, Any] = peer.result("get_profile", run_key=run_key)
    return found


def test_all_that_a_start_says_is_in_the_profile(peer: Any, scribe: str) -> None:
    source = {
        "type": "webhook",
        "label": "hook",
        "principal_type": "apikey",
        "principal_id": "k",
        "client_ip": "10.0.0.1",
    }
    run = started(
        peer,
        model_file=scribe,
        tags=["b", "a", "b"],
        source=source,
        created_by="user:1",
        metadata={"color": "red"},
        ttl_seconds=3600,
        test=True,
        context={"deep": {"list": [1]}},
        result_schema={"type": "object"},
        result_mode="null",
        attached_functions=[{"function": "add"}],
        call_summarization=False,
    )
    assert run["tags"] == ["b", "a"]
    assert (run["source"], run["created_by"], run["metadata"]) == (source, "user:1", {"color": "red"})
    assert (run["ttl_seconds"], run["test"], run["context"]) == (3600, True, {"deep": {"list": [1]}})
    assert (run["result_schema"], run["result_mode"]) == ({"type": "object"}, "null")
    assert run["attached_functions"] == [{"function": "add"}]
    assert (run["reasoning_traces"], run["call_summarization"]) == (True, False)


def test_a_source_is_what_its_fields_say_and_nothing_else(peer: Any, scribe: str) -> None:
    for source in ({"type": "me"}, {"ip": "1.2.3.4"}, "api"):
        assert peer.error("start_run", model_file=scribe, source=source)["code"] == "INVALID_REQUEST"
    assert started(peer, model_file=scribe)["source"] is None


def test_feedback_keeps_its_fractions_and_what_it_does_not_say_stays(peer: Any, scribe: str) -> None:
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    first = peer.result(
        "update_profile",
        run_key=run_key,
        evaluation={"score": 0.37, "comment": "nice", "scores": {"style": 0.5}},
        actor={"user_key": "ann"},
    )
    assert first["evaluation"] == {"score": 0.37, "comment": "nice", "scores": {"style": 0.5}}
    assert first["updated_by"] == "ann"

    peer.result("update_profile", run_key=run_key, evaluation={"score": 0.81})

    after = profile(peer, run_key)
    assert after["evaluation"] == {"score": 0.81, "comment": "nice", "scores": {"style": 0.5}}
    for score in (1.01, -0.1, "good"):
        error = peer.error("update_profile", run_key=run_key, evaluation={"score": score})
        assert error["code"] == "INVALID_REQUEST"


def test_a_change_of_a_profile_is_made_once(peer: Any, scribe: str, fresh_id: Callable[[], str]) -> None:
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    before, request_id = profile(peer, run_key), fresh_id()

    changed = peer.result(
        "update_profile", run_key=run_key, name="new", tags=["x", "x"], request_id=request_id
    )
    peer.result("update_profile", run_key=run_key, name="newer")
    again = peer.result("update_profile", run_key=run_key, name="new", tags=["x", "x"], request_id=request_id)

    assert again == changed
    after = profile(peer, run_key)
    assert (after["name"], after["tags"], after["status_seq"]) == ("newer", ["x"], 0)
    assert after["updated_at"] > before["updated_at"]
    assert peer.result("get_run", run_key=run_key)["last_modified"] == after["updated_at"]
    assert peer.error("update_profile", run_key=run_key, status="ready")["code"] == "INVALID_REQUEST"


def test_a_clone_is_a_child_of_its_source_and_outlives_it(peer: Any, scribe: str) -> None:
    run = started(
        peer,
        model_file=scribe,
        run_id="a-parent",
        actions=[ADD],
        tags=["t"],
        metadata={"m": 1},
        context={"c": 1},
        ttl_seconds=60,
    )
    clone = peer.result("clone_run", run_key=run["run_key"])["run_key"]

    child = profile(peer, clone)
    assert (child["parent"], child["tags"], child["context"]) == (run["run_key"], ["t"], {"c": 1})
    assert child["metadata"] == {"m": 1}
    assert (child["run_id"], child["ttl_seconds"], child["status"]) == (None, None, "ready")
    assert child["name"] != run["name"]
    assert child["resource_use"]["actions"] == 0

    peer.result("delete_run", run_key=run["run_key"])

    assert profile(peer, clone)["parent"] == run["run_key"]
    assert peer.result("call_operation", run_key=clone, name="add") == 3
    assert peer.result("update_profile", run_key=clone, detach=True)["parent"] is None
    below = started(peer, model_file=scribe, parent=clone)
    assert below["parent"] == clone
    error = peer.error("start_run", model_file=scribe, parent="0" * 36)
    assert (error["code"], error["information"]["path"]) == ("RUN_NOT_FOUND", "parent")


def test_a_deleted_run_leaves_nothing_and_its_id_is_free(
    peer: Any, daemon: Any, scribe: str, fresh_id: Callable[[], str]
) -> None:
    run = started(peer, model_file=scribe, run_id="deleted", actions=[ADD])
    run_key, request_id = run["run_key"], fresh_id()
    pid = peer.result("call_operation", run_key=run_key, name="pid")
    assert pid

    gone = peer.result("delete_run", run_key=run_key, request_id=request_id)

    assert gone == {"run_key": run_key}
    assert peer.result("delete_run", run_key=run_key, request_id=request_id) == gone
    for type_ in ("get_profile", "get_run", "read_history", "delete_run"):
        assert peer.error(type_, run_key=run_key)["code"] == "RUN_NOT_FOUND"
    assert peer.error("get_profile", run_id="deleted")["code"] == "RUN_NOT_FOUND"
    again = peer.result("start_run", model_file=scribe, run_id="deleted", actions=[ADD])
    assert again["created"] is True
    assert again["run"]["run_key"] != run_key


def test_a_run_is_deleted_in_the_middle_of_its_course(peer: Any, daemon: Any, scribe: str) -> None:
    nap = {"kind": "execute", "name": "nap", "arguments": [0.4]}
    run_key = peer.result("start_run", model_file=scribe, actions=[nap] * 50)["run"]["run_key"]
    peer.result("get_profile", run_key=run_key, wait_seconds=0.6)

    peer.result("delete_run", run_key=run_key)

    assert peer.error("get_profile", run_key=run_key)["code"] == "RUN_NOT_FOUND"
    assert peer.result("worker_status")["courses"] == {"under_way": 0, "waiting": 0}
    assert "bug" not in daemon.logged()


def test_an_actor_without_the_right_changes_nothing(peer: Any, scribe: str) -> None:
    run_key = peer.result("create_run", model_file=scribe, permit={"write_lock": "AUTHOR"})["run_key"]
    actor = {"role": "REVIEWER"}
    for type_, fields in (("update_profile", {"name": "x"}), ("delete_run", {})):
        assert peer.error(type_, run_key=run_key, actor=actor, **fields)["code"] == "PERMIT_VIOLATION"
    assert peer.error("get_profile", run_key=run_key, project="a/b")["code"] == "PROJECT_NOT_FOUND"
    assert profile(peer, run_key)["name"] != "x"


def test_what_actions_took_rises_with_calls_and_not_with_reads_or_replays(peer: Any, scribe: str) -> None:
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    assert profile(peer, run_key)["resource_use"]["actions"] == 0
    peer.result("call_operation", run_key=run_key, name="nap", arguments=[0.5])
    peer.result("call_operation", run_key=run_key, name="spin", arguments=[0.3])
    used = profile(peer, run_key)

    assert 0.8 <= used["execution_seconds"] < 10
    assert used["resource_use"]["wall_seconds"] == used["execution_seconds"]
    assert 0.3 <= used["resource_use"]["cpu_seconds"] < 1.5
    assert used["resource_use"]["actions"] == 2

    peer.result("read_variables", run_key=run_key, names=["total"])
    peer.result("evict_run", run_key=run_key)
    peer.result("restore_run", run_key=run_key)
    peer.result("read_history", run_key=run_key)
    after = profile(peer, run_key)
    assert after["execution_seconds"] == used["execution_seconds"]
    assert after["resource_use"]["actions"] == 2

    peer.result("write_variables", run_key=run_key, values={"total": 1})
    last = profile(peer, run_key)
    assert last["resource_use"]["actions"] == 3
    assert last["resource_use"]["peak_rss_bytes"] > 100_000


def run_processes(daemon: Any) -> set[int]:
    """The pids of all run processes."""
    worker = psutil.Process(daemon.pid)
    return {grandchild.pid for child in worker.children() for grandchild in child.children()}


def test_a_process_that_is_lost_at_work_fails_the_run_until_it_is_back(
    peer: Any, daemon: Any, scribe: str, connect: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    others = run_processes(daemon)
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    (process,) = run_processes(daemon) - others
    assert profile(peer, run_key)["finish_reason"] is None

    looker = connect(daemon.endpoint)
    request_id = peer.send("call_operation", run_key=run_key, name="nap", arguments=[600])
    wait_until(lambda: looker.result("get_run", run_key=run_key)["status"] == "executing")
    os.kill(process, signal.SIGKILL)
    reply = peer.receive()
    assert (reply["request_id"], reply["error"]["code"]) == (request_id, "PROCESS_EXITED")

    lost = profile(peer, run_key)
    assert (lost["status"], lost["finish_reason"]) == ("failed", "worker_lost")
    assert lost["error"]["code"] == "PROCESS_EXITED"
    assert peer.result("get_run", run_key=run_key)["status"] == "failed"

    assert peer.result("call_operation", run_key=run_key, name="add") == 1
    back = profile(peer, run_key)
    assert (back["status"], back["finish_reason"], back["error"]) == ("ready", None, None)
    assert back["status_seq"] == lost["status_seq"] + 2


def test_a_process_that_is_lost_at_rest_leaves_the_run_ready(
    peer: Any, daemon: Any, scribe: str, wait_until: Callable[..., None]
) -> None:
    others = run_processes(daemon)
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    (process,) = run_processes(daemon) - others
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not profile(peer, run_key)["live"])

    assert (profile(peer, run_key)["status"], profile(peer, run_key)["status_seq"]) == ("ready", 0)


def test_an_operation_without_an_end_finishes_the_run_with_timeout(peer: Any, scribe: str) -> None:
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    assert peer.error("call_operation", run_key=run_key, name="fail")["code"] == "OPERATION_FAILED"
    assert profile(peer, run_key)["status"] == "ready"

    assert peer.error("call_operation", run_key=run_key, name="hang")["code"] == "OPERATION_TIMEOUT"

    late = profile(peer, run_key)
    assert (late["status"], late["finish_reason"]) == ("failed", "timeout")
    peer.result("restore_run", run_key=run_key)
    assert profile(peer, run_key)["status"] == "ready"


def test_a_replay_that_comes_out_differently_finishes_the_run_so(peer: Any, model_root: Any) -> None:
    source = "total = 0\n\n\ndef add(n):\n    global total\n    total += n\n    return total{}\n"
    model = model_root.add("changing", source.format(""))
    run = started(peer, model_file=model, actions=[ADD])
    peer.result("evict_run", run_key=run["run_key"])
    model_root.add("changing", source.format(" + 1"))

    assert peer.error("restore_run", run_key=run["run_key"])["code"] == "REPLAY_DIVERGED"

    diverged = profile(peer, run["run_key"])
    assert (diverged["status"], diverged["finish_reason"]) == ("failed", "replay_diverged")
    assert diverged["result"] == 2


def test_a_closed_run_finishes_with_that(peer: Any, scribe: str) -> None:
    run = started(peer, model_file=scribe, actions=[ADD])
    peer.result("update_run", run_key=run["run_key"], closed=True)
    closed = profile(peer, run["run_key"])
    assert (closed["status"], closed["finish_reason"]) == ("ready", "closed")


def test_a_run_expires_when_nothing_changed_it_for_its_time_and_not_while_it_is_live(
    make_daemon: Any,
    model_root: Any,
    scribe: str,
    connect: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    kept = started(peer, model_file=scribe)["run_key"]
    live = started(peer, model_file=scribe, ttl_seconds=1)["run_key"]
    ending = started(peer, model_file=scribe, ttl_seconds=1, run_id="ending")["run_key"]
    later = peer.result("create_run", model_file=scribe)["run_key"]
    for run_key in (kept, ending, later):
        peer.result("evict_run", run_key=run_key)
    assert peer.result("update_profile", run_key=later, ttl_seconds=2)["ttl_seconds"] == 2

    def is_gone(run_key: str) -> bool:
        return not peer.ask("get_profile", run_key=run_key)["ok"]

    wait_until(lambda: is_gone(ending))
    wait_until(lambda: is_gone(later))

    assert not is_gone(live)
    assert not is_gone(kept)
    assert peer.error("read_history", run_key=ending)["code"] == "RUN_NOT_FOUND"
    assert "run expired" in daemon.logged()
    peer.result("evict_run", run_key=live)
    wait_until(lambda: is_gone(live))
    assert not is_gone(kept)

    last = started(peer, model_file=scribe, ttl_seconds=1)["run_key"]
    assert daemon.stop() == 0
    daemon.start()
    peer = connect(daemon.endpoint)
    wait_until(lambda: not peer.ask("get_profile", run_key=last)["ok"])
