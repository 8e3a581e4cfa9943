"""The durable status of runs, against a real worker: every change counted and told once, none of it by a replay."""

from typing import Any

import pytest

from tests.profiles.models import LEDGER, LEDGER_CONTEXT

CHIEF = {"role": "AUTHOR"}
ADD = {"kind": "execute", "name": "add", "arguments": [2]}


def changes(peer: Any, run_key: str) -> list[tuple[str, str, int]]:
    """(from, to, status_seq) of every status that was told of a run."""
    page = peer.result("read_events", run_key=run_key)
    return [
        (event["from"], event["to"], event["status_seq"])
        for event in page["events"]
        if event["kind"] == "status"
    ]


def status(peer: Any, run_key: str) -> tuple[str, int]:
    found = peer.result("get_profile", run_key=run_key)
    return found["status"], found["status_seq"]


COURSE = [("created", "starting", 1), ("starting", "executing", 2), ("executing", "ready", 3)]


def test_changes_are_counted_without_holes_from_what_the_run_was_before(peer: Any, scribe: str) -> None:
    fail = {"kind": "execute", "name": "fail"}
    run_key = peer.result("start_run", model_file=scribe, actions=[fail], wait_seconds=20)["run"]["run_key"]
    peer.result("restore_run", run_key=run_key)
    assert peer.error("call_operation", run_key=run_key, name="hang")["code"] == "OPERATION_TIMEOUT"
    peer.result("restore_run", run_key=run_key)

    found = changes(peer, run_key)

    assert found == [
        ("created", "starting", 1),
        ("starting", "executing", 2),
        ("executing", "failed", 3),
        ("failed", "starting", 4),
        ("starting", "ready", 5),
        ("ready", "executing", 6),
        ("executing", "failed", 7),
        ("failed", "starting", 8),
        ("starting", "ready", 9),
    ]
    assert status(peer, run_key) == ("ready", 9)


def test_leaving_memory_and_replays_change_no_status_and_tell_none(peer: Any, scribe: str) -> None:
    actions = [ADD, ADD]
    run_key = peer.result("start_run", model_file=scribe, actions=actions, wait_seconds=20)["run"]["run_key"]
    assert changes(peer, run_key) == COURSE

    peer.result("evict_run", run_key=run_key)
    assert status(peer, run_key) == ("ready", 3)
    peer.result("restore_run", run_key=run_key)
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    clone = peer.result("clone_run", run_key=run_key)["run_key"]
    peer.result("evict_run", run_key=run_key)
    assert peer.result("read_variables", run_key=run_key, names=["total"], ritual="REVIVE") == {"total": 2}

    assert changes(peer, run_key) == COURSE
    assert status(peer, run_key) == ("ready", 3)
    assert (changes(peer, clone), status(peer, clone)) == ([], ("ready", 0))


@pytest.mark.parametrize("name", ("add", "fail"))
def test_plain_operations_of_a_run_that_nobody_is_told_of_change_no_status(
    peer: Any, scribe: str, name: str
) -> None:
    run_key = peer.result("create_run", model_file=scribe)["run_key"]
    peer.ask("call_operation", run_key=run_key, name=name)
    assert (changes(peer, run_key), status(peer, run_key)) == ([], ("ready", 0))


def test_a_query_tells_the_status_of_runs_that_are_not_in_memory(peer: Any, scribe: str) -> None:
    run_key = peer.result("create_run", model_file=scribe, tracking_key="hung")["run_key"]
    peer.error("call_operation", run_key=run_key, name="hang")
    assert status(peer, run_key) == ("failed", 2)  # a look at the profile waits for what is being written
    (found,) = peer.result("query_runs", filter="run.tracking_key=hung")["values"]
    assert (found["run_key"], found["status"], found["live"]) == (run_key, "failed", False)


def test_when_a_run_was_changed_is_the_same_in_its_profile_and_in_lists_whatever_it_does(
    peer: Any, model_root: Any
) -> None:
    """Also where only its status changed, while it is in memory."""
    ledger = model_root.add("ledger", LEDGER, LEDGER_CONTEXT)
    started = peer.result("start_run", model_file=ledger, wait_seconds=20)["run"]
    run_key = started["run_key"]

    def updated() -> str:
        shown: str = peer.result("get_profile", run_key=run_key)["updated_at"]
        (listed,) = peer.result("search_runs", query={"run_keys": [run_key]})["values"]
        assert listed["updated_at"] == shown
        return shown

    times = [started["created_at"], updated()]
    peer.error("call_operation", run_key=run_key, name="pay", arguments=[50])
    times.append(updated())
    peer.result("decide_action", run_key=run_key, action_id="2", approved=False, actor=CHIEF)
    times.append(updated())
    peer.error("call_operation", run_key=run_key, name="die")
    peer.result("decide_action", run_key=run_key, action_id="4", approved=True, actor=CHIEF)
    assert peer.result("get_profile", run_key=run_key, wait_seconds=20)["status"] == "failed"
    times.append(updated())
    peer.result("update_profile", run_key=run_key, tags=["changed"])
    times.append(updated())
    assert times == sorted(set(times))
