"""The locks of a run, judged on every route to it; a refusal leaves no trace."""

from typing import Any

import pytest

OWNER = {"role": "PARTICIPANT", "user_key": "ada"}
STRANGER = {"role": "PARTICIPANT", "user_key": "bob"}
TEACHER = {"role": "FACILITATOR", "user_key": "carl"}
WORLD = {"scope_boundary": "WORLD", "scope_key": "world-1"}

READS: list[tuple[str, dict[str, Any]]] = [
    ("get_run", {}),
    ("read_variables", {"names": ["counter"]}),
    ("perform_actions", {"actions": [{"kind": "get", "name": "counter"}]}),
    ("read_metadata", {"names": ["note"]}),
    ("read_history", {}),
    ("read_events", {}),
    ("introspect_run", {}),
    ("clone_run", {}),
]
PLAYS: list[tuple[str, dict[str, Any]]] = [
    ("call_operation", {"name": "add"}),
    ("call_operation", {"name": "peek"}),
    ("write_variables", {"values": {"counter": 9}}),
    (
        "perform_actions",
        {"actions": [{"kind": "get", "name": "counter"}, {"kind": "execute", "name": "add"}]},
    ),
    ("update_metadata", {"set": {"note": "new"}}),
    ("restore_run", {}),
    ("rewind_run", {"rewind_count": 1}),
    ("evict_run", {}),
]
WRITES: list[tuple[str, dict[str, Any]]] = [
    ("update_run", {"marked": True}),
    ("update_run", {"closed": True}),
    ("update_run", {"permit": {"write_lock": "ANONYMOUS"}}),
]
MANY = [
    *READS[1:2],
    *READS[3:4],
    *PLAYS[:5],
    *PLAYS[7:],
    *WRITES,
]


@pytest.fixture(params=("in memory", "archived"))
def place(request: pytest.FixtureRequest) -> str:
    """Where the run is when it is asked."""
    place: str = request.param
    return place


def make(peer: Any, model_file: str, place: str, actor: dict[str, Any] | None = None, **fields: Any) -> str:
    """A run with one step done and one note made."""
    run_key: str = peer.result(
        "create_run", model_file=model_file, actor=OWNER if actor is None else actor, **fields
    )["run_key"]
    peer.result("call_operation", run_key=run_key, name="add")
    peer.result("update_metadata", run_key=run_key, set={"note": "old"})
    if place == "archived":
        peer.result("evict_run", run_key=run_key)
    return run_key


def traces(peer: Any, run_key: str) -> dict[str, Any]:
    """All that a request could have changed."""
    return {
        "run": peer.result("get_run", run_key=run_key),
        "history": peer.result("read_history", run_key=run_key),
        "events": [
            event
            for event in peer.result("read_events", run_key=run_key)["events"]
            if event["kind"] != "evicted"
        ],
        "note": peer.result("read_metadata", run_key=run_key, names=["note"]),
        "counter": peer.result("read_variables", run_key=run_key, names=["counter"]),
        "stored": peer.result("worker_status")["runs"]["stored"],
    }


@pytest.mark.parametrize(("kind", "fields"), (*READS, *PLAYS, *WRITES))
def test_a_stranger_is_refused_on_every_route_and_leaves_no_trace(
    peer: Any, counter_model: str, place: str, kind: str, fields: dict[str, Any]
) -> None:
    run_key = make(peer, counter_model, place)
    before = traces(peer, run_key)

    error = peer.error(kind, run_key=run_key, actor=STRANGER, **fields)

    assert (error["code"], error["status"], error["retryable"]) == ("PERMIT_VIOLATION", 403, False)
    information = error["information"]
    assert (information["needed"], information["role"]) == ("USER", "PARTICIPANT")
    assert information["lock"] == ("read_lock" if (kind, fields) in READS else "write_lock")
    assert traces(peer, run_key) == before


@pytest.mark.parametrize(
    "actor", (OWNER, TEACHER, None, {"user_key": "bob"}, {**STRANGER, "is_system": True})
)
@pytest.mark.parametrize(("kind", "fields"), (*READS, *PLAYS, *WRITES))
def test_its_user_who_is_above_and_who_has_no_role_are_served(
    peer: Any, counter_model: str, kind: str, fields: dict[str, Any], actor: dict[str, Any] | None
) -> None:
    run_key = make(peer, counter_model, "in memory")
    peer.result(kind, run_key=run_key, **({} if actor is None else {"actor": actor}), **fields)


@pytest.mark.parametrize(("kind", "fields"), MANY)
def test_of_many_runs_each_is_judged_by_its_own_locks(
    peer: Any, counter_model: str, kind: str, fields: dict[str, Any]
) -> None:
    closed_to_bob = make(peer, counter_model, "in memory")
    open_to_bob = make(peer, counter_model, "in memory", STRANGER)
    before = traces(peer, closed_to_bob)

    result = peer.result(kind, run_keys=[closed_to_bob, open_to_bob], actor=STRANGER, **fields)

    assert result[closed_to_bob]["error"]["code"] == "PERMIT_VIOLATION"
    assert result[open_to_bob]["ok"] is True
    assert traces(peer, closed_to_bob) == before


def test_members_of_a_world_play_and_others_and_its_attributes_are_locked(
    peer: Any, counter_model: str
) -> None:
    run_key = make(peer, counter_model, "in memory", scope=WORLD)
    member = {**STRANGER, "world_key": "world-1"}
    other = {**STRANGER, "world_key": "world-2"}

    assert peer.result("call_operation", run_key=run_key, name="add", actor=member) == 2
    assert peer.result("read_variables", run_key=run_key, names=["counter"], actor=other) == {"counter": 2}
    for actor, kind, fields in (
        (other, "call_operation", {"name": "add"}),
        (member, "update_run", {"marked": True}),
    ):
        error = peer.error(kind, run_key=run_key, actor=actor, **fields)
        assert error["information"]["needed"] == "FACILITATOR"


def test_a_changed_permit_holds_from_the_next_request_on(peer: Any, counter_model: str) -> None:
    run_key = make(peer, counter_model, "in memory")
    own = {"run_key": run_key, "actor": OWNER}
    peer.send("update_run", **own, permit={"write_lock": "AUTHOR"}, request_id="lock-it")
    peer.send("call_operation", **own, name="add")
    replies = [peer.receive(), peer.receive()]

    assert sorted(reply["ok"] for reply in replies) == [False, True]
    assert peer.result("read_variables", **own, names=["counter"]) == {"counter": 1}
    again = peer.ask("update_run", **own, permit={"write_lock": "AUTHOR"}, request_id="lock-it")
    assert again["ok"], "what was done is told again, though it could not be done again"


def test_permits_are_not_judged_where_the_setting_says_so(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Any
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_PERMITS": "ignore"})
    peer = connect(daemon.endpoint)
    run_key = make(peer, counter_model, "in memory")

    assert peer.result("call_operation", run_key=run_key, name="add", actor=STRANGER) == 2
