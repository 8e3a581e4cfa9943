"""Going back and copying: the examples of the reference, and what must stay untouched."""

from typing import Any

import pytest

# `add` is what model.ctx2 counts as a step.
NAMES = ["counter", "log", "secret", "label"]


def perform(peer: Any, run_key: str, *words: str) -> None:
    """Perform ``set NAME`` (label), ``step`` (add 1), ``step N``, ``fail``; each as a request of its own."""
    for word in words:
        verb, _, rest = word.partition(" ")
        if verb == "set":
            peer.result("write_variables", run_key=run_key, values={"label": rest})
        elif verb == "fail":
            peer.error("call_operation", run_key=run_key, name="fail")
        else:
            arguments = [int(rest)] if rest else []
            peer.result("call_operation", run_key=run_key, name="add", arguments=arguments)


def make_run(peer: Any, model_file: str, *words: str, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    perform(peer, run_key, *words)
    return run_key


def values(peer: Any, run_key: str) -> dict[str, Any]:
    result: dict[str, Any] = peer.result("read_variables", run_key=run_key, names=NAMES, ritual="REVIVE")
    return result


EXAMPLE = ("set a", "step", "set b", "step", "set c")


@pytest.mark.parametrize("where", ("live", "archived"))
@pytest.mark.parametrize(("count", "kept"), ((1, EXAMPLE[:3]), (2, EXAMPLE[:1])))
def test_a_rewind_keeps_what_came_before_the_step(
    peer: Any, counter_model: str, where: str, count: int, kept: tuple[str, ...]
) -> None:
    run_key = make_run(peer, counter_model, *EXAMPLE)
    expected = values(peer, make_run(peer, counter_model, *kept))
    if where == "archived":
        peer.result("evict_run", run_key=run_key)

    reply = peer.ask("rewind_run", run_key=run_key, rewind_count=count)

    assert reply["run"] == {"run_key": run_key, "served_from": "restored", "seq": 7}
    assert (reply["result"]["live"], reply["result"]["seq"]) == (True, 7)
    assert values(peer, run_key) == expected
    peer.result("evict_run", run_key=run_key)
    assert values(peer, run_key) == expected


def test_a_rewound_run_goes_on_and_can_be_rewound_again(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, "step 1", "step 2", "step 3")
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    perform(peer, run_key, "step 10", "step 20")
    assert values(peer, run_key)["log"] == [1, 2, 10, 20]

    # The step that was taken back does not count any more.
    peer.result("rewind_run", run_key=run_key, rewind_count=3)
    assert values(peer, run_key)["log"] == [1]
    perform(peer, run_key, "step 7")
    peer.result("evict_run", run_key=run_key)
    assert values(peer, run_key)["log"] == [1, 7]

    entries = peer.result("read_history", run_key=run_key)["entries"]
    marks = {entry["seq"]: entry.get("rewound_by") for entry in entries}
    assert marks == {1: None, 2: None, 3: 8, 4: 5, 5: 8, 6: 8, 7: 8, 8: None, 9: None}


def test_the_archive_is_rewritten_by_a_rewind(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, "step 1", "step 2")
    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    peer.result("evict_run", run_key=run_key)

    reply = peer.ask("read_variables", run_key=run_key, names=["counter", "log"])

    assert (reply["run"]["served_from"], reply["result"]) == ("archive", {"counter": 1, "log": [1]})


def test_what_was_recorded_only_after_the_step_leaves_the_archive(peer: Any, model_root: Any) -> None:
    source = """
    from epicenter import Epicenter

    def step(name):
        Epicenter.record(name, 1)
    """
    context = '{"restorations": {"rewind": {"name": "step"}}}'
    run_key = peer.result("create_run", model_file=model_root.add("late", source, context))["run_key"]
    for name in ("a", "b"):
        peer.result("call_operation", run_key=run_key, name="step", arguments=[name])

    peer.result("rewind_run", run_key=run_key, rewind_count=1)
    peer.result("evict_run", run_key=run_key)

    assert peer.result("read_variables", run_key=run_key, names=["a", "b"], ignorable=True) == {
        "a": 1,
        "b": None,
    }


def test_to_seq_names_the_last_entry_that_is_kept(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, *EXAMPLE)
    expected = values(peer, make_run(peer, counter_model, *EXAMPLE[:3]))

    peer.result("rewind_run", run_key=run_key, to_seq=4)

    assert values(peer, run_key) == expected


def test_to_seq_one_goes_back_to_the_beginning(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, *EXAMPLE)

    peer.result("rewind_run", run_key=run_key, to_seq=1)

    assert values(peer, run_key) == {"counter": 0, "log": [], "secret": 5, "label": "none"}


def test_failed_calls_do_not_count_as_steps(peer: Any, model_root: Any) -> None:
    source = """
    log = []

    def step(ok):
        log.append(ok)
        if not ok:
            raise ValueError
    """
    context = '{"restorations": {"rewind": {"name": "step"}}}'
    run_key = peer.result("create_run", model_file=model_root.add("fails", source, context))["run_key"]
    for ok in (True, True, False):
        peer.ask("call_operation", run_key=run_key, name="step", arguments=[ok])

    peer.result("rewind_run", run_key=run_key, rewind_count=1)

    assert peer.result("read_variables", run_key=run_key, names=["log"]) == {"log": [True]}


def test_a_step_inside_a_batch_splits_it(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model)
    actions = [
        {"kind": "set", "name": "label", "value": "before"},
        {"kind": "execute", "name": "add", "arguments": [1]},
        {"kind": "set", "name": "label", "value": "after"},
    ]
    peer.result("perform_actions", run_key=run_key, actions=actions)

    peer.result("rewind_run", run_key=run_key, rewind_count=1)

    assert values(peer, run_key) == {"counter": 0, "log": [], "secret": 5, "label": "before"}


def test_with_arguments_in_the_marker_only_such_calls_are_steps(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, "step 1", "step 2", "step 1", "step 3")
    context = {"restorations": {"rewind": {"arguments": [1]}}}

    peer.result("rewind_run", run_key=run_key, rewind_count=1, model_context=context)

    assert values(peer, run_key)["log"] == [1, 2]


def test_a_destructible_rewind_deletes_the_tail(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, *EXAMPLE)
    context = {"restorations": {"rewind": {"destructible": True}}}

    run = peer.result("rewind_run", run_key=run_key, rewind_count=1, model_context=context)

    assert run["seq"] == 4
    history = peer.result("read_history", run_key=run_key)
    assert [entry["seq"] for entry in history["entries"]] == [1, 2, 3, 4]
    perform(peer, run_key, "step 5")
    peer.result("evict_run", run_key=run_key)
    assert values(peer, run_key) == {"counter": 6, "log": [1, 5], "secret": 5, "label": "b"}


@pytest.mark.parametrize("where", ("live", "archived"))
@pytest.mark.parametrize(
    "fields",
    (
        {"rewind_count": 0},
        {"rewind_count": -1},
        {"rewind_count": 3},
        {"to_seq": 0},
        {"to_seq": -5},
        {"to_seq": 6},
        {"to_seq": 99},
        {"rewind_count": 1, "model_context": {"restorations": {"rewind": {"name": "no_such"}}}},
        {"rewind_count": 1, "model_context": {"restorations": {"rewind": {"arguments": [9]}}}},
    ),
    ids=str,
)
def test_an_impossible_rewind_leaves_everything_as_it_was(
    peer: Any, counter_model: str, where: str, fields: dict[str, Any]
) -> None:
    run_key = make_run(peer, counter_model, *EXAMPLE)
    if where == "archived":
        peer.result("evict_run", run_key=run_key)
    before = peer.result("get_run", run_key=run_key), peer.result("read_history", run_key=run_key)

    error = peer.error("rewind_run", run_key=run_key, **fields)

    assert (error["code"], error["status"]) == ("REWIND_INVALID", 400)
    after = peer.result("get_run", run_key=run_key), peer.result("read_history", run_key=run_key)
    assert after == before
    assert after[0]["live"] is (where == "live")
    assert values(peer, run_key) == {"counter": 2, "log": [1, 1], "secret": 5, "label": "c"}


def test_a_model_without_a_marker_can_only_be_rewound_by_seq(peer: Any, model_root: Any) -> None:
    source = "total = 0\ndef add(n):\n    global total\n    total += n\n"
    run_key = peer.result("create_run", model_file=model_root.add("plain", source))["run_key"]
    for number in (1, 2):
        peer.result("call_operation", run_key=run_key, name="add", arguments=[number])

    error = peer.error("rewind_run", run_key=run_key, rewind_count=1)

    assert error["code"] == "REWIND_INVALID"
    assert "restorations.rewind.name" in error["message"]
    peer.result("rewind_run", run_key=run_key, to_seq=2)
    assert peer.result("read_variables", run_key=run_key, names=["total"]) == {"total": 1}


def test_a_tail_that_was_taken_back_cannot_be_returned_to(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, "step 1", "step 2", "step 3")
    peer.result("rewind_run", run_key=run_key, rewind_count=2)

    assert peer.error("rewind_run", run_key=run_key, to_seq=3)["code"] == "REWIND_INVALID"

    # It is not lost: a clone can be made of it.
    clone = peer.result("clone_run", run_key=run_key, at_seq=4)
    assert values(peer, clone["run_key"])["log"] == [1, 2, 3]
    assert values(peer, run_key)["log"] == [1]


@pytest.mark.parametrize("fields", ({}, {"rewind_count": 1, "to_seq": 2}))
def test_a_rewind_names_its_target_once(peer: Any, counter_model: str, fields: dict[str, Any]) -> None:
    run_key = make_run(peer, counter_model, "step", "step")

    assert peer.error("rewind_run", run_key=run_key, **fields)["code"] == "INVALID_REQUEST"


def test_a_rewind_waits_for_what_was_asked_before(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, "step 5")
    operation = peer.send("call_operation", run_key=run_key, name="nap", arguments=[0.3])
    rewind = peer.send("rewind_run", run_key=run_key, rewind_count=1)
    later = peer.send("call_operation", run_key=run_key, name="add", arguments=[2])

    replies = {reply["request_id"]: reply for reply in (peer.receive() for _ in range(3))}

    # A nap is no step of the marker, so the last step is the first.
    assert replies[operation]["result"] == 6
    assert replies[rewind]["result"]["seq"] == 4
    assert replies[later]["result"] == 2


# Clones


@pytest.mark.parametrize("where", ("live", "archived", "closed"))
def test_a_clone_has_the_state_and_the_original_is_untouched(
    peer: Any, counter_model: str, where: str
) -> None:
    execution = {"presets": {"motto": "x"}}
    source = make_run(
        peer,
        counter_model,
        *EXAMPLE,
        "fail",
        metadata={"team": ["red"]},
        tracking_key="original",
        execution_context=execution,
        scope={"scope_boundary": "GROUP", "scope_key": "g", "user_key": "u"},
        permit={"read_lock": "ANONYMOUS"},
    )
    peer.result("update_run", run_key=source, marked=True, hidden=True)
    expected = values(peer, source)
    if where != "live":
        peer.result("evict_run", run_key=source)
    if where == "closed":
        peer.result("update_run", run_key=source, closed=True)
    before = peer.result("get_run", run_key=source), peer.result("read_history", run_key=source)

    reply = peer.ask("clone_run", run_key=source, tracking_key="copy")

    clone = reply["result"]
    assert reply["run"] == {"run_key": clone["run_key"], "served_from": "restored", "seq": 7}
    assert (clone["cloned_from"], clone["tracking_key"], clone["live"]) == (source, "copy", True)
    assert (clone["marked"], clone["hidden"], clone["closed"]) == (False, False, False)
    assert (clone["scope"], clone["permit"]) == (before[0]["scope"], before[0]["permit"])
    assert clone["execution_context"] == execution
    assert values(peer, clone["run_key"]) == expected
    assert peer.result("read_metadata", run_key=clone["run_key"], names=["team"]) == {"team": ["red"]}
    # The clone lives by itself.
    perform(peer, clone["run_key"], "step 100")
    peer.result("evict_run", run_key=clone["run_key"])
    assert values(peer, clone["run_key"])["counter"] == expected["counter"] + 100
    after = peer.result("get_run", run_key=source), peer.result("read_history", run_key=source)
    assert after == before


def test_a_clone_has_no_tracking_key_of_its_source(peer: Any, counter_model: str) -> None:
    source = make_run(peer, counter_model, tracking_key="t")

    assert "tracking_key" not in peer.result("clone_run", run_key=source)


def test_a_clone_has_the_archive_of_its_source(peer: Any, counter_model: str) -> None:
    source = make_run(peer, counter_model, "step 1", "step 2")
    clone = peer.result("clone_run", run_key=source)["run_key"]
    peer.result("evict_run", run_key=clone)

    reply = peer.ask("read_variables", run_key=clone, names=["counter", "log"])

    assert (reply["run"]["served_from"], reply["result"]) == ("archive", {"counter": 3, "log": [1, 2]})


def test_a_clone_draws_the_same_random_numbers(peer: Any, model_root: Any) -> None:
    source = """
    import random

    drawn = [random.random()]

    def draw():
        drawn.append(random.random())
        return drawn[-1]
    """
    run_key = peer.result("create_run", model_file=model_root.add("dice", source))["run_key"]
    peer.result("call_operation", run_key=run_key, name="draw")

    clone = peer.result("clone_run", run_key=run_key)["run_key"]

    both = [peer.result("read_variables", run_key=key, names=["drawn"]) for key in (run_key, clone)]
    assert both[0] == both[1]
    assert peer.result("call_operation", run_key=clone, name="draw") == peer.result(
        "call_operation", run_key=run_key, name="draw"
    )


@pytest.mark.parametrize(("at_seq", "log"), ((1, []), (2, [1]), (3, [1, 2]), (4, [1, 2, 3])))
def test_a_clone_can_be_made_of_the_past(peer: Any, counter_model: str, at_seq: int, log: list[int]) -> None:
    source = make_run(peer, counter_model, "step 1", "step 2", "step 3")

    clone = peer.result("clone_run", run_key=source, at_seq=at_seq)

    assert clone["seq"] == at_seq
    assert values(peer, clone["run_key"])["log"] == log
    assert peer.result("read_history", run_key=clone["run_key"])["head_seq"] == at_seq


@pytest.mark.parametrize("at_seq", (0, -1, 4))
def test_a_clone_cannot_be_made_of_what_never_was(peer: Any, counter_model: str, at_seq: int) -> None:
    source = make_run(peer, counter_model, "step 1", "step 2")
    stored = peer.result("worker_status")["runs"]["stored"]

    error = peer.error("clone_run", run_key=source, at_seq=at_seq)

    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "at_seq")
    assert peer.result("worker_status")["runs"]["stored"] == stored


def test_an_execution_context_given_to_clone_replaces_the_inherited_one(
    peer: Any, counter_model: str
) -> None:
    old = {"presets": {"motto": "old", "label": "preset"}}
    new = {"presets": {"motto": "new"}}
    source = make_run(peer, counter_model, "step 2", execution_context=old)

    clone = peer.result("clone_run", run_key=source, execution_context=new)

    assert clone["execution_context"] == new
    names = ["motto", "counter", "label"]
    expected = {"motto": "new", "counter": 2, "label": "none"}
    assert peer.result("read_variables", run_key=clone["run_key"], names=names) == expected
    peer.result("evict_run", run_key=clone["run_key"])
    restored = peer.result("read_variables", run_key=clone["run_key"], names=names, ritual="REVIVE")
    assert restored == expected
    assert values(peer, source)["label"] == "preset"


def test_a_clone_of_a_rewound_run_can_be_rewound(peer: Any, counter_model: str) -> None:
    source = make_run(peer, counter_model, "step 1", "step 2", "step 3")
    peer.result("rewind_run", run_key=source, rewind_count=1)
    clone = peer.result("clone_run", run_key=source)["run_key"]
    assert values(peer, clone)["log"] == [1, 2]

    peer.result("rewind_run", run_key=clone, rewind_count=1)

    assert values(peer, clone)["log"] == [1]
    assert values(peer, source)["log"] == [1, 2]


def test_a_clone_waits_for_what_was_asked_before(peer: Any, counter_model: str) -> None:
    source = make_run(peer, counter_model)
    peer.send("call_operation", run_key=source, name="nap", arguments=[0.3])
    cloning = peer.send("clone_run", run_key=source)

    replies = {reply["request_id"]: reply for reply in (peer.receive(), peer.receive())}

    assert values(peer, replies[cloning]["result"]["run_key"])["counter"] == 1
