"""The life cycle of runs, sentence by sentence of the reference.

A sentence that another test proves already names that test; the others have their case here.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

SENTENCES = """
create: loads the model, injects presets, fires onInitialized, archives what was recorded, gives the view
create: what does not load, is not there or is not named makes no run
in memory: operations and all variables need the process, the archive holds what was recorded
in memory: history and archive are durable before the reply
session timeout: a run that nobody asks leaves memory
session timeout: any request that the process serves begins it anew
restore: replay is the default and repeats the whole history of changes
restore: replay uses the model file as it is now
restore: snapshot assigns what was archived last
restore: parts of an assembly are done in their order
restore: onRestored is fired when the state is there
restore: stop_before and exclude leave actions out
restore: many at once make one process
restore: an execution context replaces the stored one
restore: a model context holds for this start
rewind: n steps back is the state before the n-th last call of the marked operation
rewind: sets behind the step are dropped and sets before it stay
rewind: without a marker it is a fault and changes nothing
rewind: less than one step, or more than there are, is a fault and changes nothing
rewind: arguments of the marker say which calls count
rewind: a marker may name arguments by position
rewind: a call that raised is no step
rewind: destructible drops the tail, otherwise it stays and is marked
rewind: the archive is what the replay recorded
rewind: works in memory and archived, and leaves the run in memory
rewind: works for a run that is restored by snapshot
clone: a new key, the same state, in memory, the original untouched
clone: the execution context is inherited and may be overridden
clone: the model context of the creation is not inherited
clone: the tracking key comes from the call
clone: history, archive and metadata are copied, flags are not
clone: scope, permit and owner are those of the source
clone: a closed run may be cloned
clone: an ephemeral run has ephemeral clones only, while it is in memory
close: a live run ends after a final archive
close: it is never restored again, its archive can be read
close: a closed run may be opened again
hidden, marked: are flags only, which queries filter by
ephemeral: it exists in memory only, afterwards its key is unknown
ephemeral: a restored or cloned incarnation writes nothing
ephemeral: it can be rewound
remove: takes the run out of memory, deletes nothing, and may be repeated
migrate: a clone in the scope of the episode, its user kept, its source as it was
singular: one per project, whatever model is asked for
singular: many who ask at once get one
world: without a run a new one is made and attached, otherwise its run comes into memory
world: closing closes and evicts the run, and the world has none
world: a closed or hidden run counts as none
world: assigning swaps runs
world: its members play it, and its attributes are locked
strategies: reuse-across-sessions is the newest run of the scope, neither hidden nor another user's, or a new one
strategies: reuse-never always creates
strategies: reuse-by-tracking-key is the newest with that key, or a new one
strategies: multiplayer is the run of the actor's world
strategies: what one needs and nobody gave is told by its name
"""
ELSEWHERE = {
    "in memory: operations and all variables need the process, the archive holds what was recorded": (
        "tests/integration/test_rituals.py::test_outcome_of_a_request_under_a_ritual"
    ),
    "in memory: history and archive are durable before the reply": (
        "tests/fault/test_reply.py::test_nothing_is_answered_before_it_is_on_disk"
    ),
    "session timeout: a run that nobody asks leaves memory": (
        "tests/integration/test_requests.py"
        "::test_a_run_nobody_asks_leaves_memory_after_the_session_timeout_unless_perpetual"
    ),
    "restore: parts of an assembly are done in their order": (
        "tests/integration/test_snapshot.py::test_a_snapshot_behind_a_replay_wins"
    ),
    "restore: many at once make one process": (
        "tests/integration/test_concurrency.py::test_fifty_clients_restore_one_run_into_one_process"
    ),
    "restore: an execution context replaces the stored one": (
        "tests/integration/test_requests.py::test_an_execution_context_given_to_restore_is_kept"
    ),
    "restore: a model context holds for this start": (
        "tests/integration/test_requests.py"
        "::test_a_model_context_given_to_restore_holds_for_that_incarnation_only"
    ),
    "rewind: n steps back is the state before the n-th last call of the marked operation": (
        "tests/integration/test_rewind_clone.py::test_a_rewind_keeps_what_came_before_the_step"
    ),
    "rewind: without a marker it is a fault and changes nothing": (
        "tests/integration/test_rewind_clone.py::test_a_model_without_a_marker_can_only_be_rewound_by_seq"
    ),
    "rewind: less than one step, or more than there are, is a fault and changes nothing": (
        "tests/integration/test_rewind_clone.py::test_an_impossible_rewind_leaves_everything_as_it_was"
    ),
    "rewind: arguments of the marker say which calls count": (
        "tests/integration/test_rewind_clone.py::test_with_arguments_in_the_marker_only_such_calls_are_steps"
    ),
    "rewind: a marker may name arguments by position": (
        "tests/integration/test_snapshot.py::test_a_marker_may_name_arguments_by_position"
    ),
    "rewind: a call that raised is no step": (
        "tests/integration/test_rewind_clone.py::test_failed_calls_do_not_count_as_steps"
    ),
    "rewind: the archive is what the replay recorded": (
        "tests/integration/test_rewind_clone.py::test_what_was_recorded_only_after_the_step_leaves_the_archive"
    ),
    "rewind: works for a run that is restored by snapshot": (
        "tests/integration/test_snapshot.py::test_an_earlier_moment_is_replayed"
    ),
    "clone: a new key, the same state, in memory, the original untouched": (
        "tests/integration/test_rewind_clone.py::test_a_clone_has_the_state_and_the_original_is_untouched"
    ),
    "ephemeral: a restored or cloned incarnation writes nothing": (
        "tests/integration/test_requests.py::test_an_ephemeral_incarnation_leaves_the_durable_run_untouched"
    ),
}
SHARED, STRATEGIES = "tests/integration/test_shared_runs.py", "tests/integration/test_strategies.py"
ELSEWHERE |= {
    "singular: many who ask at once get one": (
        "tests/integration/test_shared_crowd.py::test_all_get_the_one_run_that_is_created"
    ),
    "world: a closed or hidden run counts as none": (
        f"{SHARED}::test_a_world_whose_run_is_closed_or_hidden_gets_a_new_one"
    ),
    "world: assigning swaps runs": (
        f"{SHARED}::test_an_assigned_run_is_the_worlds_and_the_earlier_one_stays_as_it_is"
    ),
    "world: its members play it, and its attributes are locked": (
        "tests/integration/test_permits.py"
        "::test_members_of_a_world_play_and_others_and_its_attributes_are_locked"
    ),
    "strategies: reuse-by-tracking-key is the newest with that key, or a new one": (
        f"{STRATEGIES}::test_a_tracking_key_finds_the_newest_run_that_has_it"
    ),
    "strategies: multiplayer is the run of the actor's world": (
        f"{STRATEGIES}::test_multiplayer_is_the_run_of_the_actors_world_in_memory"
    ),
    "strategies: what one needs and nobody gave is told by its name": (
        f"{STRATEGIES}::test_what_a_strategy_needs_is_asked_for_by_name"
    ),
}
MISSING = "0" * 36
GROUP = {"scope_boundary": "GROUP", "scope_key": "g-life", "user_key": "ada"}


def check_create(stage: Any) -> None:
    run = stage.result(
        "create_run", model_file=stage.model_file, execution_context={"presets": {"motto": "go"}}
    )
    assert (run["live"], run["seq"], run["run_state"]) == (True, 1, "ACTIVE")
    assert stage.read(run["run_key"], "motto", "seen") == {"motto": "go", "seen": ["onInitialized"]}
    assert stage.archived(stage.evict(run["run_key"]), "price") == 0


def check_no_run(stage: Any) -> None:
    broken = stage.model("broken", "x = (\n")
    raising = stage.model("raising", "raise ValueError('no')\n")
    stored = stage.result("worker_status")["runs"]["stored"]
    for fields, code in (
        ({"model_file": broken}, "MODEL_LOAD_FAILED"),
        ({"model_file": raising}, "MODEL_LOAD_FAILED"),
        ({"model_file": "play/none.py"}, "MODEL_NOT_FOUND"),
        ({}, "INVALID_REQUEST"),
        ({"model_file": stage.model_file, "model_context": {"operations": 1}}, "INVALID_CONTEXT"),
    ):
        assert stage.code("create_run", **fields) == code
    assert stage.result("worker_status")["runs"]["stored"] == stored


def check_replay(stage: Any) -> None:
    run_key = stage.run(1, {"secret": 9, "world.team.size": 4}, 2)
    stage.code("call_operation", run_key=run_key, name="fail")
    stage.evict(run_key)
    values = stage.read(run_key, "price", "secret", "world.team.size", "seen")
    assert values == {
        "price": 3,
        "secret": 10,  # the call that raised changed it before
        "world.team.size": 4,
        "seen": ["onInitialized", "onRestored"],
    }


def check_current_model(stage: Any) -> None:
    source = "x = 0\ndef add():\n    global x\n    x += {by}\n"
    run_key = stage.run(model=stage.model("edited", source.format(by=1)))
    stage.result("call_operation", run_key=run_key, name="add")
    stage.evict(run_key)
    stage.model("edited", source.format(by=10))
    reply = stage.ask("restore_run", run_key=run_key)
    assert [warning["code"] for warning in reply["warnings"]] == ["MODEL_CHANGED"]
    assert stage.read(run_key, "x") == 10


def check_snapshot(stage: Any) -> None:
    snapshot: dict[str, Any] = {"restorations": {"assembly": [{"snapshot": {}}]}}
    run_key = stage.evict(stage.run(1, {"secret": 9}, 2))
    stage.result("restore_run", run_key=run_key, model_context=snapshot)
    assert stage.read(run_key, "price", "secret") == {"price": 3, "secret": 5}
    stage.evict(run_key)
    assert stage.read(run_key, "price", "secret") == {"price": 3, "secret": 9}, "the file says replay"


def check_restored_event(stage: Any) -> None:
    run_key = stage.evict(stage.run(1))
    assert stage.read(run_key, "seen") == ["onInitialized", "onRestored"]
    assert stage.view(run_key)["seq"] == 2, "no history"


def check_left_out(stage: Any) -> None:
    for how, expected in (("stop_before", (1, 5)), ("exclude", (4, 5))):
        run_key = stage.evict(stage.run(1, {"secret": 7}, 3))
        operation = {"operationType": how, "targetType": "set", "targetKey": "secret"}
        part = {"replay": {"operations": [operation]}}
        stage.result("restore_run", run_key=run_key, model_context={"restorations": {"assembly": [part]}})
        assert tuple(stage.read(run_key, "price", "secret").values()) == expected


def check_rewind_sets(stage: Any) -> None:
    run_key = stage.run({"secret": "a"}, 1, {"secret": "b", "motto": "b"}, 1, {"secret": "c"})
    stage.result("rewind_run", run_key=run_key, rewind_count=1)
    values = {"price": 1, "secret": "b", "motto": "b", "seen": ["onInitialized", "onRewound"]}
    assert stage.read(run_key, *values) == values


def check_destructible(stage: Any) -> None:
    destructible = {"restorations": {"rewind": {"destructible": True}}}
    for context, kinds in (
        (destructible, ["boot", "execute"]),
        ({}, ["boot", "execute", "execute", "rewind"]),
    ):
        run_key = stage.run(1, 2)
        stage.result("rewind_run", run_key=run_key, rewind_count=1, model_context=context)
        entries = stage.history(run_key)
        assert [entry["kind"] for entry in entries] == kinds
        assert [entry.get("rewound_by") for entry in entries] == [None, None, 4, None][: len(kinds)]
        stage.play(stage.evict(run_key), 5)
        assert stage.read(run_key, "price") == 6


def check_rewind_anywhere(stage: Any) -> None:
    for run_key in (stage.run(1, 2), stage.evict(stage.run(1, 2))):
        reply = stage.ask("rewind_run", run_key=run_key, rewind_count=1)
        assert (reply["result"]["live"], reply["run"]["served_from"]) == (True, "restored")
        assert stage.read(run_key, "price") == 1
        assert stage.archived(stage.evict(run_key), "price") == 1


def check_clone_execution(stage: Any) -> None:
    source = stage.run(1, execution_context={"presets": {"motto": "old"}})
    same = stage.result("clone_run", run_key=source)
    assert (same["execution_context"], stage.read(same["run_key"], "motto")) == (
        {"presets": {"motto": "old"}},
        "old",
    )
    other = stage.result("clone_run", run_key=source, execution_context={"presets": {"motto": "new"}})
    assert stage.read(other["run_key"], "motto", "price") == {"motto": "new", "price": 1}
    assert stage.read(source, "motto") == "old"


def check_clone_context(stage: Any) -> None:
    source = stage.run(1, model_context={"operations": {"who": {"inert": True}}})
    clone = stage.result("clone_run", run_key=source)["run_key"]
    for key, recorded in ((source, 0), (clone, 1)):
        before = stage.view(key)["seq"]
        stage.result("call_operation", run_key=key, name="who")
        assert stage.view(key)["seq"] - before == recorded


def check_clone_tracking(stage: Any) -> None:
    source = stage.run(tracking_key="source")
    assert "tracking_key" not in stage.result("clone_run", run_key=source)
    assert stage.result("clone_run", run_key=source, tracking_key="mine")["tracking_key"] == "mine"


def check_clone_copies(stage: Any) -> None:
    source = stage.run(1, {"secret": 2}, metadata={"team": ["red"]})
    stage.result("update_run", run_key=source, marked=True, hidden=True)
    clone = stage.result("clone_run", run_key=source)
    assert (clone["marked"], clone["hidden"], clone["closed"]) == (False, False, False)
    key = stage.evict(clone["run_key"])
    assert stage.archived(key, "price") == 1
    assert stage.result("read_metadata", run_key=key, names=["team"]) == {"team": ["red"]}
    told = [[(entry["kind"], entry.get("name")) for entry in stage.history(run)] for run in (source, key)]
    assert told[0] == told[1] == [("boot", None), ("execute", "step"), ("set", "secret")]


def check_clone_owner(stage: Any) -> None:
    source = stage.run(scope=GROUP, permit={"read_lock": "ANONYMOUS"}, actor={"user_key": "ada"})
    clone = stage.result("clone_run", run_key=source, actor={"user_key": "bob", "role": "FACILITATOR"})
    before = stage.view(source)
    for name in ("scope", "permit", "user", "model_file", "morphology"):
        assert clone[name] == before[name]


def check_clone_closed(stage: Any) -> None:
    source = stage.run(3)
    stage.result("update_run", run_key=source, closed=True)
    clone = stage.result("clone_run", run_key=source)
    assert (clone["closed"], stage.read(clone["run_key"], "price")) == (False, 3)
    assert stage.view(source)["closed"] is True


def check_clone_ephemeral(stage: Any) -> None:
    source = stage.run(2, ephemeral=True)
    clone = stage.result("clone_run", run_key=source)
    assert (clone["ephemeral"], stage.read(clone["run_key"], "price")) == (True, 2)
    assert stage.code("clone_run", run_key=source, ephemeral=False) == "RUN_EPHEMERAL"
    stage.evict(source)
    assert stage.code("clone_run", run_key=source) == "RUN_NOT_FOUND"


def check_close(stage: Any) -> None:
    run_key = stage.run(4)
    view = stage.result("update_run", run_key=run_key, closed=True)
    assert (view["run_state"], view["live"]) == ("CLOSED", False)
    assert stage.archived(run_key, "price") == 4


def check_closed(stage: Any) -> None:
    run_key = stage.run(4)
    stage.result("update_run", run_key=run_key, closed=True)
    for type_, fields in (
        ("restore_run", {}),
        ("rewind_run", {"rewind_count": 1}),
        ("call_operation", {"name": "step"}),
        ("write_variables", {"values": {"secret": 1}}),
        ("read_variables", {"names": ["secret"], "ritual": "REVIVE"}),
    ):
        assert stage.code(type_, run_key=run_key, **fields) == "RUN_CLOSED"
    assert stage.archived(run_key, "price") == 4
    assert len(stage.history(run_key)) == 2


def check_open_again(stage: Any) -> None:
    run_key = stage.run(4)
    stage.result("update_run", run_key=run_key, closed=True)
    assert stage.result("update_run", run_key=run_key, closed=False)["run_state"] == "INACTIVE"
    stage.play(run_key, 1)
    assert stage.read(run_key, "price") == 5


def check_flags(stage: Any) -> None:
    scope = {**GROUP, "scope_key": "g-flags"}
    shown, hidden = stage.run(scope=scope), stage.run(scope=scope)
    stage.result("update_run", run_key=hidden, hidden=True, marked=True)
    stage.play(hidden, 1)
    for condition, keys in (
        ("run.hidden=false", [shown]),
        ("run.marked=true", [hidden]),
        ("run.hidden=true;run.marked=true", [hidden]),
        (None, [shown, hidden]),
    ):
        fields = {} if condition is None else {"filter": condition}
        found = stage.result("query_runs", scope=scope, **fields)["values"]
        assert [run["run_key"] for run in found] == keys


def check_ephemeral(stage: Any) -> None:
    stored = stage.result("worker_status")["runs"]["stored"]
    run_key = stage.run(1, ephemeral=True, metadata={"a": 1})
    assert stage.result("worker_status")["runs"]["stored"] == stored
    assert (stage.view(run_key)["ephemeral"], len(stage.history(run_key))) == (True, 2)
    stage.evict(run_key)
    for type_, fields in (("get_run", {}), ("restore_run", {}), ("read_metadata", {"names": ["a"]})):
        assert stage.code(type_, run_key=run_key, **fields) == "RUN_NOT_FOUND"


def check_ephemeral_rewind(stage: Any) -> None:
    run_key = stage.run(1, 2, ephemeral=True)
    stage.result("rewind_run", run_key=run_key, rewind_count=1)
    assert stage.read(run_key, "price") == 1


def check_remove(stage: Any) -> None:
    run_key = stage.run(1)
    before = {**stage.view(run_key), "live": False, "run_state": "INACTIVE"}
    del before["sandbox"]
    stage.evict(stage.evict(run_key))
    assert stage.view(run_key) == before
    assert stage.code("evict_run", run_key=MISSING) == "RUN_NOT_FOUND"


def check_migrate(stage: Any) -> None:
    source = stage.run(1, {"secret": 3}, scope=GROUP, metadata={"team": "red"})
    before = stage.view(source), stage.history(source)
    key = stage.result("migrate_run", run_key=source, episode_key="e-life")["run_key"]
    view = stage.view(key)
    assert view["scope"] == {"scope_boundary": "EPISODE", "scope_key": "e-life", "user_key": "ada"}
    assert (view["permit"], view["cloned_from"]) == (before[0]["permit"], source)
    assert stage.read(key, "price", "secret", "seen") == {
        "price": 1,
        "secret": 3,
        "seen": ["onInitialized", "onCloned"],
    }
    assert stage.result("read_metadata", run_key=key, names=["team"]) == {"team": "red"}
    assert (stage.view(source), stage.history(source)) == before


def check_singular(stage: Any) -> None:
    assert stage.result("get_singular_run_key") is None
    first = stage.result("create_singular_run", model_file=stage.model_file)["run_key"]
    other = stage.model("another", "x = 1\n")
    assert stage.result("create_singular_run", model_file=other)["run_key"] == first
    assert stage.result("get_singular_run_key") == first


def check_world(stage: Any) -> None:
    fields = {"world_key": "w-life", "model_file": stage.model_file}
    first = stage.result("open_world_run", **fields)
    assert (first["scope"], first["live"]) == ({"scope_boundary": "WORLD", "scope_key": "w-life"}, True)
    stage.play(first["run_key"], 2)
    stage.evict(first["run_key"])
    again = stage.result("open_world_run", **fields)
    assert (again["run_key"], again["live"], again["seq"]) == (first["run_key"], True, 2)


def check_world_closed(stage: Any) -> None:
    fields = {"world_key": "w-closed", "model_file": stage.model_file}
    run_key = stage.result("open_world_run", **fields)["run_key"]
    stage.result("close_world_run", world_key="w-closed")
    assert stage.code("restore_run", run_key=run_key) == "RUN_CLOSED"
    assert stage.result("open_world_run", **fields)["run_key"] != run_key


def check_reuse(stage: Any) -> None:
    scope = {**GROUP, "scope_key": "g-reuse"}
    fields = {"strategy": "reuse-across-sessions", "model_file": stage.model_file, "scope": scope}
    first = stage.result("get_run_with_strategy", **fields)["run_key"]
    newest = stage.run(scope=scope)
    stage.run(scope={**scope, "user_key": "bob"})
    assert stage.result("get_run_with_strategy", **fields)["run_key"] == newest
    stage.result("update_run", run_key=newest, hidden=True)
    assert stage.result("get_run_with_strategy", **fields)["run_key"] == first


def check_reuse_never(stage: Any) -> None:
    fields = {"strategy": "reuse-never", "model_file": stage.model_file, "scope": GROUP}
    keys = [stage.result("get_run_with_strategy", **fields)["run_key"] for _ in range(2)]
    assert keys[0] != keys[1]


CASES: dict[str, Callable[[Any], None]] = {
    "create: loads the model, injects presets, fires onInitialized, archives what was recorded, gives the view": (
        check_create
    ),
    "create: what does not load, is not there or is not named makes no run": check_no_run,
    "restore: replay is the default and repeats the whole history of changes": check_replay,
    "restore: replay uses the model file as it is now": check_current_model,
    "restore: snapshot assigns what was archived last": check_snapshot,
    "restore: onRestored is fired when the state is there": check_restored_event,
    "restore: stop_before and exclude leave actions out": check_left_out,
    "rewind: sets behind the step are dropped and sets before it stay": check_rewind_sets,
    "rewind: destructible drops the tail, otherwise it stays and is marked": check_destructible,
    "rewind: works in memory and archived, and leaves the run in memory": check_rewind_anywhere,
    "clone: the execution context is inherited and may be overridden": check_clone_execution,
    "clone: the model context of the creation is not inherited": check_clone_context,
    "clone: the tracking key comes from the call": check_clone_tracking,
    "clone: history, archive and metadata are copied, flags are not": check_clone_copies,
    "clone: scope, permit and owner are those of the source": check_clone_owner,
    "clone: a closed run may be cloned": check_clone_closed,
    "clone: an ephemeral run has ephemeral clones only, while it is in memory": check_clone_ephemeral,
    "close: a live run ends after a final archive": check_close,
    "close: it is never restored again, its archive can be read": check_closed,
    "close: a closed run may be opened again": check_open_again,
    "hidden, marked: are flags only, which queries filter by": check_flags,
    "ephemeral: it exists in memory only, afterwards its key is unknown": check_ephemeral,
    "ephemeral: it can be rewound": check_ephemeral_rewind,
    "remove: takes the run out of memory, deletes nothing, and may be repeated": check_remove,
    "migrate: a clone in the scope of the episode, its user kept, its source as it was": check_migrate,
    "singular: one per project, whatever model is asked for": check_singular,
    "world: without a run a new one is made and attached, otherwise its run comes into memory": check_world,
    "world: closing closes and evicts the run, and the world has none": check_world_closed,
    "strategies: reuse-across-sessions is the newest run of the scope, neither hidden nor another user's, or a new one": (
        check_reuse
    ),
    "strategies: reuse-never always creates": check_reuse_never,
}
TIMEOUT = "session timeout: any request that the process serves begins it anew"


@pytest.mark.parametrize("sentence", CASES)
def test_a_sentence_of_the_life_cycle(stage: Any, sentence: str) -> None:
    CASES[sentence](stage)


def test_any_request_that_the_process_serves_begins_the_session_anew(
    make_daemon: Any, model_root: Any, connect: Any, stage: Any, wait_until: Callable[..., None]
) -> None:
    seconds = 0.5
    env = {"MODEL_WORKER_SESSION_TIMEOUT_SECONDS": str(seconds)}
    peer = connect(make_daemon(model_root.path, env=env).endpoint)
    run_key = peer.result("create_run", model_file=stage.model_file)["run_key"]
    began, before, in_time = time.monotonic(), time.monotonic(), 0
    while before - began < 3 * seconds:
        asked = time.monotonic()
        reply = peer.ask("read_variables", run_key=run_key, names=["secret"], ritual="REVIVE")
        if time.monotonic() - before < seconds:  # a machine that is too busy proves nothing
            assert reply["run"]["served_from"] == "memory"
            in_time += 1
        before = asked
    assert in_time > 0
    wait_until(lambda: not peer.result("get_run", run_key=run_key)["live"])


def test_every_sentence_has_a_case(find_test: Callable[[str], bool]) -> None:
    assert {*CASES, *ELSEWHERE, TIMEOUT} == set(SENTENCES.strip().splitlines())
    assert [test for test in ELSEWHERE.values() if not find_test(test)] == []
