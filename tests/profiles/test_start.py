"""start_run: durable when answered, then a course of its own; against a real worker."""

from typing import Any

EXECUTE_ADD = {"kind": "execute", "name": "add", "arguments": [2]}


def history(peer: Any, run_key: str) -> list[tuple[str, str | None]]:
    """(kind, name) of each entry of a run."""
    page = peer.result("read_history", run_key=run_key)
    return [(entry["kind"], entry.get("name")) for entry in page["entries"]]


def test_a_run_is_answered_before_it_has_a_process_and_comes_up_by_itself(peer: Any, scribe: str) -> None:
    answer = peer.result("start_run", model_file=scribe)

    run = answer["run"]
    assert answer["created"] is True
    assert (run["status"], run["status_seq"], run["seq"], run["live"]) == ("created", 0, 0, False)
    assert run["name"].startswith(f"{scribe}: ")
    assert run["interaction"] == scribe

    ready = peer.result("get_profile", run_key=run["run_key"], wait_seconds=20)

    assert (ready["status"], ready["seq"], ready["finish_reason"], ready["error"]) == ("ready", 1, None, None)
    assert ready["live"] is True
    assert peer.result("call_operation", run_key=run["run_key"], name="add") == 1


def test_initial_actions_are_performed_in_order_and_logged_like_any_other(peer: Any, scribe: str) -> None:
    answer = peer.result(
        "start_run",
        model_file=scribe,
        data={"start": 5},
        prompt="go on",
        actions=[EXECUTE_ADD, {"kind": "set", "name": "total", "value": 40}, EXECUTE_ADD],
        wait_seconds=20,
    )

    run = answer["run"]
    assert (run["status"], run["result"], run["parameters"]) == ("ready", 42, {"start": 5})
    assert history(peer, run["run_key"]) == [
        ("boot", None),
        ("execute", "begin"),
        ("execute", "ask"),
        ("execute", "add"),
        ("set", "total"),
        ("execute", "add"),
    ]
    requests = [
        entry["request_id"] for entry in peer.result("read_history", run_key=run["run_key"])["entries"]
    ]
    assert requests[1:] == [f"{run['run_key']}:{number}" for number in range(1, 6)]

    peer.result("evict_run", run_key=run["run_key"])
    values = peer.result("read_variables", run_key=run["run_key"], names=["total", "words"], ritual="REVIVE")
    assert values == {"total": 42, "words": ["go on"]}
