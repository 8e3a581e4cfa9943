"""What every request type answers, and what it leaves behind."""

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ALWAYS = {
    "run_key",
    "scope",
    "permit",
    "morphology",
    "model_file",
    "model_language",
    "model_fingerprint",
    "execution_context",
    "marked",
    "hidden",
    "closed",
    "allow_channel",
    "ephemeral",
    "perpetual",
    "created",
    "last_modified",
    "run_state",
    "status",
    "live",
    "seq",
}


def create(peer: Any, model_file: str, **fields: Any) -> str:
    run_key: str = peer.result("create_run", model_file=model_file, **fields)["run_key"]
    return run_key


# The worker


def test_ping_names_the_worker(peer: Any) -> None:
    first, second = peer.result("ping"), peer.result("ping")

    assert set(first) == {"worker_id", "version", "uptime_seconds"}
    assert first["worker_id"] == second["worker_id"]
    assert second["uptime_seconds"] >= first["uptime_seconds"] > 0


def test_worker_status_counts_runs_and_names_limits_and_zygotes(
    peer: Any, counter_model: str, wait_until: Callable[..., None]
) -> None:
    before = peer.result("worker_status")["runs"]
    create(peer, counter_model)
    create(peer, counter_model, ephemeral=True)
    peer.result("evict_run", run_key=create(peer, counter_model))

    status = peer.result("worker_status")

    assert status["runs"]["stored"] == before["stored"] + 2
    assert status["runs"]["ephemeral"] == before["ephemeral"] + 1
    assert status["runs"]["live"] == before["live"] + 2
    assert (status["runs"]["restoring"], status["runs"]["queued_requests"]) == (0, 0)
    assert status["limits"]["live_run_limit"] == {"allowed": 1000, "used": status["runs"]["live"]}
    assert status["zygotes"][0]["runs"] == status["runs"]["live"]
    assert status["memory"]["worker_bytes"] > 0
    assert status["memory"]["runs_bytes"] > 0
    # Nobody waits for the event of the eviction to be durable.
    wait_until(lambda: peer.result("worker_status")["log"] == {"pending_writes": 0})
    assert status["draining"] is False


# Runs as such


def test_a_new_run_has_exactly_the_fields_of_the_contract(peer: Any, counter_model: str) -> None:
    before = datetime.now(UTC).timestamp()

    reply = peer.ask("create_run", model_file=counter_model)

    run = reply["result"]
    assert set(run) == {*ALWAYS, "model_version", "sandbox"}
    assert re.fullmatch(r"[0-9a-f]{36}", run["run_key"])
    assert abs(int(run["run_key"][:16], 16) / 1000 - before) < 5
    assert ISO.fullmatch(run["created"])
    assert abs(datetime.fromisoformat(run["created"]).timestamp() - before) < 5
    assert run["last_modified"] == run["created"]
    assert re.fullmatch(r"[0-9a-f]{64}", run["model_fingerprint"])
    assert (run["model_file"], run["model_language"], run["model_version"]) == (counter_model, "PYTHON_3", 3)
    assert (run["run_state"], run["status"], run["live"], run["seq"]) == ("ACTIVE", "ready", True, 1)
    assert (run["morphology"], run["execution_context"]) == ("MANY", {})
    flags = ("marked", "hidden", "closed", "allow_channel", "ephemeral", "perpetual")
    assert not any(run[flag] for flag in flags)
    assert reply["run"] == {"run_key": run["run_key"], "served_from": "memory", "seq": 1}
    assert "warnings" not in reply
    assert peer.result("get_run", run_key=run["run_key"]) == run


def test_run_keys_are_ordered_by_creation(peer: Any, counter_model: str, wait_until: Any) -> None:
    first = create(peer, counter_model)
    then = time.time_ns() // 1_000_000
    wait_until(lambda: time.time_ns() // 1_000_000 > then)

    assert create(peer, counter_model) > first


def test_create_run_takes_every_field(peer: Any, counter_model: str) -> None:
    given = {
        "scope": {"scope_boundary": "EPISODE", "scope_key": "e1", "user_key": "u1"},
        "morphology": "SINGULAR",
        "tracking_key": "t1",
        "execution_context": {"version": "v1", "presets": {"label": {"a": [1]}}},
        "allow_channel": True,
        "perpetual": True,
        "grammar": "g",
        "address": {"account_short_name": "acme", "project_short_name": "sim", "group_name": "g1"},
    }
    actor = {"user_key": "u9", "role": "FACILITATOR"}

    run = peer.result(
        "create_run",
        model_file=counter_model,
        permit={"write_lock": "AUTHOR"},
        metadata={"k": [1, {"a": None}]},
        model_context={"minimumLogLevel": "error", "unknownToUs": 1},
        actor=actor,
        **given,
    )

    assert {name: run[name] for name in given} == given
    assert run["permit"] == {"read_lock": "FACILITATOR", "write_lock": "AUTHOR"}
    assert run["user"] == {"user_key": "u9"}
    assert "model_context" not in run
    assert peer.result("read_metadata", run_key=run["run_key"], names=["k"]) == {"k": [1, {"a": None}]}
    assert peer.result("read_variables", run_key=run["run_key"], names=["label"]) == {"label": {"a": [1]}}


@pytest.mark.parametrize(
    ("role", "scope", "locks"),
    (
        ("PARTICIPANT", {"scope_key": "p", "user_key": "u"}, ("USER", "USER")),
        ("PARTICIPANT", {"scope_boundary": "WORLD", "scope_key": "w"}, ("PARTICIPANT", "FACILITATOR")),
        ("AUTHOR", {"scope_key": "p"}, ("AUTHOR", "AUTHOR")),
        ("REVIEWER", {"scope_key": "p"}, ("FACILITATOR", "FACILITATOR")),
    ),
)
def test_the_permit_depends_on_creator_and_scope(
    peer: Any, counter_model: str, role: str, scope: dict[str, str], locks: tuple[str, str]
) -> None:
    run = peer.result("create_run", model_file=counter_model, scope=scope, actor={"role": role})

    assert tuple(run["permit"].values()) == locks


def test_a_world_run_carries_no_user(peer: Any, counter_model: str) -> None:
    scope = {"scope_boundary": "WORLD", "scope_key": "w", "user_key": "u"}

    run = peer.result("create_run", model_file=counter_model, scope=scope)

    assert run["scope"] == {"scope_boundary": "WORLD", "scope_key": "w"}


@pytest.mark.parametrize(
    "change",
    (
        {"tracking_key": "other"},
        {"marked": True},
        {"hidden": True},
        {"allow_channel": True},
        {"closed": True},
    ),
)
def test_update_run_changes_the_one_attribute_given(
    peer: Any, counter_model: str, change: dict[str, Any]
) -> None:
    run = peer.result("create_run", model_file=counter_model, tracking_key="t")

    updated = peer.result("update_run", run_key=run["run_key"], **change)

    own = {name: updated[name] for name in change}
    assert own == change
    apart = {*change, "last_modified", "run_state", "live", "sandbox"}
    assert {k: v for k, v in updated.items() if k not in apart} == {
        k: v for k, v in run.items() if k not in apart
    }
    assert updated["last_modified"] >= run["last_modified"]
    assert peer.result("get_run", run_key=run["run_key"]) == updated


def test_update_run_overlays_the_permit(peer: Any, counter_model: str) -> None:
    permit = {"read_lock": "PARTICIPANT", "write_lock": "AUTHOR"}
    run_key = create(peer, counter_model, permit=permit)

    updated = peer.result("update_run", run_key=run_key, permit={"read_lock": "ANONYMOUS"})

    assert updated["permit"] == {"read_lock": "ANONYMOUS", "write_lock": "AUTHOR"}


def test_closing_a_live_run_ends_it_after_what_was_asked_before(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    operation = peer.send("call_operation", run_key=run_key, name="nap", arguments=[0.3])
    closing = peer.send("update_run", run_key=run_key, closed=True)

    replies = {reply["request_id"]: reply for reply in (peer.receive(), peer.receive())}

    assert replies[operation]["result"] == 1
    run = replies[closing]["result"]
    assert (run["run_state"], run["live"], run["seq"], run["closed"]) == ("CLOSED", False, 2, True)
    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 1}
    assert peer.error("restore_run", run_key=run_key)["code"] == "RUN_CLOSED"
    assert peer.result("clone_run", run_key=run_key)["closed"] is False


def test_a_closed_run_can_be_opened_again(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    peer.result("call_operation", run_key=run_key, name="add", arguments=[4])
    peer.result("update_run", run_key=run_key, closed=True)

    run = peer.result("update_run", run_key=run_key, closed=False)

    assert (run["run_state"], run["live"]) == ("INACTIVE", False)
    assert peer.result("call_operation", run_key=run_key, name="add") == 5


# Variables, operations, actions


def test_an_operation_answers_with_its_return_value_and_dates_the_run(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)

    assert peer.result("call_operation", run_key=run_key, name="add", arguments=[2]) == 2

    run = peer.result("get_run", run_key=run_key)
    assert run["seq"] == 2
    assert ISO.fullmatch(run["last_operated"])
    assert run["last_operated"] == run["last_modified"]


def test_values_that_are_not_finite_become_null_and_are_told(peer: Any, counter_model: str) -> None:
    reply = peer.ask("call_operation", run_key=create(peer, counter_model), name="odd")

    assert reply["result"] == {"list": [1.0, None], "big": None}
    assert [warning["code"] for warning in reply["warnings"]] == ["NON_FINITE", "NON_FINITE"]
    assert all("path" in warning for warning in reply["warnings"])


def test_variables_are_written_in_order_and_answered_as_they_are(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    values = {"secret": {"deep": [1, 2.5, None, True, "é"]}, "counter": -1}

    result = peer.result("write_variables", run_key=run_key, values=values)

    assert result == values
    assert list(result) == ["secret", "counter"]
    assert peer.result("read_variables", run_key=run_key, names=["secret.deep[1]"]) == {"secret.deep[1]": 2.5}


def test_actions_stop_at_the_first_error_and_keep_what_was_done(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    actions = [
        {"kind": "execute", "name": "add", "arguments": [2]},
        {"kind": "get", "name": "counter"},
        {"kind": "execute", "name": "fail", "arguments": ["why"]},
        {"kind": "execute", "name": "add", "arguments": [50]},
    ]

    error = peer.error("perform_actions", run_key=run_key, actions=actions)

    assert (error["code"], error["status"]) == ("OPERATION_FAILED", 422)
    information = error["information"]
    assert (information["index"], information["type"], information["message"]) == (2, "ValueError", "why")
    assert information["completed"] == [
        {"kind": "execute", "name": "add", "result": 2},
        {"kind": "get", "name": "counter", "value": 2},
    ]
    # The operation changed state before it raised: that stays, now and after a restore.
    peer.result("evict_run", run_key=run_key)
    reply = peer.ask("read_variables", run_key=run_key, names=["counter", "log"], ritual="REVIVE")
    assert reply["result"] == {"counter": 102, "log": [2]}
    assert reply["run"] == {"run_key": run_key, "served_from": "restored", "ritual": "REVIVE", "seq": 3}


def test_reads_from_the_archive_stop_at_the_first_missing_one(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    peer.result("evict_run", run_key=run_key)
    actions = [{"kind": "get", "name": name} for name in ("counter", "secret", "label")]

    error = peer.error("perform_actions", run_key=run_key, actions=actions)

    assert error["code"] == "UNRECORDED_VARIABLE"
    assert error["information"]["names"] == ["secret", "label"]
    assert error["information"]["index"] == 1
    assert error["information"]["completed"] == [{"kind": "get", "name": "counter", "value": 0}]


def test_an_unknown_name_leaves_no_trace(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)

    operation = peer.error("call_operation", run_key=run_key, name="ad")
    variable = peer.error("read_variables", run_key=run_key, names=["counter", "nope", "nada"])

    assert (operation["code"], operation["status"]) == ("UNKNOWN_OPERATION", 404)
    assert "add" in operation["message"]
    assert (variable["code"], variable["status"]) == ("UNKNOWN_VARIABLE", 404)
    assert variable["information"]["names"] == ["nope", "nada"]
    assert peer.result("get_run", run_key=run_key)["seq"] == 1


def test_presets_and_the_worker_context_reach_the_model(peer: Any, counter_model: str) -> None:
    execution = {"presets": {"motto": "ad astra"}}
    address = {"account_short_name": "acme", "project_short_name": "sim"}
    run_key = create(
        peer,
        counter_model,
        execution_context=execution,
        address=address,
        model_context={"operations": {"worker_context": {"inert": True}}},
    )

    assert peer.result("read_variables", run_key=run_key, names=["motto"]) == {"motto": "ad astra"}
    context = peer.result("call_operation", run_key=run_key, name="worker_context")
    assert context["runKey"] == run_key
    assert context["execution"] == execution
    assert context["model"]["restorations"]["rewind"] == {"name": "add"}
    assert (context["accountShortName"], context["projectShortName"]) == ("acme", "sim")
    assert isinstance(context["seed"], int)


def test_the_actor_reaches_the_model(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    who = {"pseudonym_key": "p", "world_key": "w", "world_role": "Sales", "group_mandate": "LEADER"}

    actor = peer.result("call_operation", run_key=run_key, name="actor", actor=who)

    assert {name: actor[name] for name in who} == who
    assert peer.result("call_operation", run_key=run_key, name="actor")["world_role"] is None


# Metadata


def test_metadata_is_set_pushed_and_popped(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model, metadata={"list": [1, 2, 3, 2, True], "word": "a"})

    def update(**fields: Any) -> Any:
        return peer.result("update_metadata", run_key=run_key, **fields)

    assert update(set={"word": "b", "new": {"x": 1}}) == {"word": "b", "new": {"x": 1}}
    assert update(push={"list": 4}) == {"list": [1, 2, 3, 2, True, 4]}
    assert update(pop={"list": {"object_type": "first"}}) == {"list": [2, 3, 2, True, 4]}
    assert update(pop={"list": {"object_type": "last"}}) == {"list": [2, 3, 2, True]}
    assert update(pop={"list": {"object_type": "all", "value": 2}}) == {"list": [3, True]}
    assert update(pop={"list": {"object_type": "all", "value": 1}}) == {"list": [3, True]}
    assert update(pop={"list": {"object_type": "all"}}) == {"list": []}
    assert update(push={"fresh": "x"}) == {"fresh": ["x"]}
    everything = peer.result("read_metadata", run_key=run_key, names=["list", "word", "new", "fresh"])
    assert everything == {"list": [], "word": "b", "new": {"x": 1}, "fresh": ["x"]}


def test_pushing_to_what_is_no_list_changes_nothing(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model, metadata={"word": "a"})

    error = peer.error("update_metadata", run_key=run_key, set={"other": 1}, push={"word": 1})

    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "push.word")
    assert peer.error("read_metadata", run_key=run_key, names=["other"])["code"] == "UNRECORDED_VARIABLE"


def test_missing_metadata_is_listed_or_null(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model, metadata={"a": 1})

    error = peer.error("read_metadata", run_key=run_key, names=["a", "b", "c"])

    assert (error["code"], error["status"]) == ("UNRECORDED_VARIABLE", 410)
    assert error["information"]["names"] == ["b", "c"]
    assert peer.result("read_metadata", run_key=run_key, names=["a", "b"], ignorable=True) == {
        "a": 1,
        "b": None,
    }


def test_metadata_dates_the_run_but_is_no_history(peer: Any, counter_model: str, wait_until: Any) -> None:
    run = peer.result("create_run", model_file=counter_model)
    then = time.time_ns() // 1_000_000
    wait_until(lambda: time.time_ns() // 1_000_000 > then + 1)

    peer.result("update_metadata", run_key=run["run_key"], set={"a": 1})

    now = peer.result("get_run", run_key=run["run_key"])
    assert now["last_modified"] > run["last_modified"]
    assert (now["seq"], "last_operated" in now) == (1, False)


# History


def test_history_tells_what_was_done_by_whom_and_what_came_of_it(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    actor = {"pseudonym_key": "p1", "world_role": "Sales"}
    request_id = peer.send("call_operation", run_key=run_key, name="add", arguments=[2], actor=actor)
    peer.receive()
    peer.ask("call_operation", run_key=run_key, name="fail", arguments=["no"])
    peer.result("write_variables", run_key=run_key, values={"secret": [1], "label": "x"})
    peer.result("call_operation", run_key=run_key, name="peek")
    peer.result("read_variables", run_key=run_key, names=["counter"])

    history = peer.result("read_history", run_key=run_key)

    assert history["head_seq"] == 5
    boot, add, fail, secret, label = history["entries"]
    assert [entry["seq"] for entry in history["entries"]] == [1, 2, 3, 4, 5]
    assert all(ISO.fullmatch(entry["at"]) for entry in history["entries"])
    assert (boot["kind"], boot["model_file"]) == ("boot", counter_model)
    assert add["kind"] == "execute"
    assert (add["name"], add["arguments"], add["actor"], add["request_id"]) == ("add", [2], actor, request_id)
    assert add["outcome"] == {"status": "completed", "result": 2}
    assert fail["outcome"]["status"] == "error"
    assert fail["outcome"]["error"]["code"] == "OPERATION_FAILED"
    assert (secret["kind"], secret["name"], secret["value"], secret["batch"]) == ("set", "secret", [1], 0)
    assert (label["request_id"], label["batch"]) == (secret["request_id"], 1)


def test_history_is_read_in_pages_with_rewound_tails_marked(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    for number in range(4):
        peer.result("call_operation", run_key=run_key, name="add", arguments=[number])
    peer.result("rewind_run", run_key=run_key, rewind_count=2)

    first = peer.result("read_history", run_key=run_key, limit=3)
    rest = peer.result("read_history", run_key=run_key, after_seq=3)

    assert [entry["seq"] for entry in first["entries"]] == [1, 2, 3]
    assert first["head_seq"] == 6
    assert [(e["seq"], e["kind"], e.get("rewound_by")) for e in rest["entries"]] == [
        (4, "execute", 6),
        (5, "execute", 6),
        (6, "rewind", None),
    ]
    assert rest["entries"][-1]["to_seq"] == 3
    assert peer.result("read_history", run_key=run_key, after_seq=6)["entries"] == []


# Ephemeral runs


def test_an_ephemeral_run_leaves_nothing_on_disk(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any]
) -> None:
    daemon = make_daemon(model_root.path)
    peer = connect(daemon.endpoint)
    durable = create(peer, counter_model)
    ephemeral = create(peer, counter_model, ephemeral=True, metadata={"a": 1}, request_id="birth")
    peer.result("call_operation", run_key=ephemeral, name="add", request_id="step")
    assert peer.result("read_metadata", run_key=ephemeral, names=["a"]) == {"a": 1}
    assert peer.result("get_run", run_key=ephemeral)["ephemeral"] is True
    daemon.kill()

    peer = connect(daemon.start().endpoint)

    assert peer.result("worker_status")["runs"]["stored"] == 1
    assert peer.error("get_run", run_key=ephemeral)["code"] == "RUN_NOT_FOUND"
    assert peer.result("get_run", run_key=durable)["live"] is False
    # Not even the request ids are kept.
    assert peer.result("call_operation", run_key=durable, name="add", request_id="step") == 1


def test_an_ephemeral_run_comes_back_after_its_process_died(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model, ephemeral=True)
    peer.result("call_operation", run_key=run_key, name="add", arguments=[5])

    assert peer.error("call_operation", run_key=run_key, name="die")["code"] == "PROCESS_EXITED"

    reply = peer.ask("call_operation", run_key=run_key, name="add")
    assert (reply["result"], reply["run"]["served_from"]) == (6, "restored")


def test_an_ephemeral_run_whose_process_died_can_be_evicted(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model, ephemeral=True)
    peer.error("call_operation", run_key=run_key, name="die")
    assert peer.result("get_run", run_key=run_key)["live"] is False

    assert peer.result("evict_run", run_key=run_key) is None

    assert peer.error("get_run", run_key=run_key)["code"] == "RUN_NOT_FOUND"


def test_an_ephemeral_run_can_be_rewound(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model, ephemeral=True)
    for number in (1, 2):
        peer.result("call_operation", run_key=run_key, name="add", arguments=[number])

    peer.result("rewind_run", run_key=run_key, rewind_count=1)

    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 1}


@pytest.mark.parametrize(
    ("request_", "before"),
    (("restore_run", 3), ("rewind_run", 1)),
)
def test_an_ephemeral_incarnation_leaves_the_durable_run_untouched(
    peer: Any, counter_model: str, request_: str, before: int
) -> None:
    run_key = create(peer, counter_model, metadata={"a": 1})
    for number in (1, 2):
        peer.result("call_operation", run_key=run_key, name="add", arguments=[number])
    peer.result("evict_run", run_key=run_key)
    untouched = peer.result("get_run", run_key=run_key)
    fields = {"rewind_count": 1} if request_ == "rewind_run" else {}

    run = peer.result(request_, run_key=run_key, ephemeral=True, **fields)
    assert run["ephemeral"] is True
    assert peer.result("call_operation", run_key=run_key, name="add", arguments=[10]) == before + 10
    peer.result("update_metadata", run_key=run_key, set={"a": 2})
    peer.result("update_run", run_key=run_key, marked=True)
    peer.result("evict_run", run_key=run_key)

    assert peer.result("get_run", run_key=run_key) == untouched
    assert peer.result("read_metadata", run_key=run_key, names=["a"]) == {"a": 1}
    assert peer.result("read_variables", run_key=run_key, names=["counter"]) == {"counter": 3}
    revived = peer.ask("read_variables", run_key=run_key, names=["counter"], ritual="REVIVE")
    assert (revived["result"], revived["run"]["seq"]) == ({"counter": 3}, 3)


def test_an_ephemeral_clone_of_a_durable_run_is_gone_after_eviction(peer: Any, counter_model: str) -> None:
    source = create(peer, counter_model)
    peer.result("call_operation", run_key=source, name="add", arguments=[2])

    clone = peer.result("clone_run", run_key=source, ephemeral=True)
    assert clone["ephemeral"] is True
    assert peer.result("call_operation", run_key=clone["run_key"], name="add") == 3
    peer.result("evict_run", run_key=clone["run_key"])

    assert peer.error("get_run", run_key=clone["run_key"])["code"] == "RUN_NOT_FOUND"
    assert peer.result("read_variables", run_key=source, names=["counter"]) == {"counter": 2}


def test_an_ephemeral_run_has_no_durable_clone(peer: Any, counter_model: str) -> None:
    source = create(peer, counter_model, ephemeral=True)

    error = peer.error("clone_run", run_key=source, ephemeral=False)

    assert (error["code"], error["status"]) == ("RUN_EPHEMERAL", 409)


# Restore


def test_restore_brings_the_run_into_memory_and_is_idempotent(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model)
    peer.result("evict_run", run_key=run_key)

    first, second = peer.ask("restore_run", run_key=run_key), peer.ask("restore_run", run_key=run_key)

    assert first["run"] == {"run_key": run_key, "served_from": "restored", "seq": 1}
    assert second["run"] == {"run_key": run_key, "served_from": "memory", "seq": 1}
    assert first["result"] == second["result"] == peer.result("get_run", run_key=run_key)


def test_an_execution_context_given_to_restore_is_kept(peer: Any, counter_model: str) -> None:
    run_key = create(peer, counter_model, execution_context={"presets": {"motto": "old"}})
    peer.result("call_operation", run_key=run_key, name="add", arguments=[2])
    peer.result("evict_run", run_key=run_key)
    new = {"presets": {"motto": "new"}}

    assert peer.result("restore_run", run_key=run_key, execution_context=new)["execution_context"] == new

    for _ in range(2):
        values = peer.result(
            "read_variables", run_key=run_key, names=["motto", "counter"], ritual="RESURRECT"
        )
        assert values == {"motto": "new", "counter": 2}


def test_an_empty_execution_context_is_none(peer: Any, counter_model: str) -> None:
    context = {"presets": {"motto": "old"}}
    run_key = create(peer, counter_model, execution_context=context)
    peer.result("evict_run", run_key=run_key)
    for kind in ("restore_run", "clone_run"):
        run = peer.result(kind, run_key=run_key, execution_context={}, model_context={})
        assert run["execution_context"] == context


def test_what_a_run_in_memory_does_not_take_from_a_restore_is_told(peer: Any, counter_model: str) -> None:
    context = {"presets": {"motto": "old"}}
    run_key = create(peer, counter_model, execution_context=context)
    other = {"execution_context": {"presets": {"motto": "new"}}, "model_context": {"operations": {}}}

    reply = peer.ask("restore_run", run_key=run_key, ephemeral=True, **other)
    same = peer.ask("restore_run", run_key=run_key, execution_context=context, model_context={})
    error = peer.error("restore_run", run_key=run_key, execution_context={"presets": {"no name": 1}})

    assert [(warning["code"], warning["path"]) for warning in reply["warnings"]] == [
        ("NOT_APPLIED", "model_context"),
        ("NOT_APPLIED", "execution_context"),
        ("NOT_APPLIED", "ephemeral"),
    ]
    assert (reply["result"]["execution_context"], reply["result"]["ephemeral"]) == (context, False)
    assert "warnings" not in same
    assert (error["code"], error["information"]["path"]) == ("INVALID_CONTEXT", "presets.no name")


def test_a_model_context_given_to_restore_holds_for_that_incarnation_only(
    peer: Any, counter_model: str
) -> None:
    run_key = create(peer, counter_model)
    peer.result("evict_run", run_key=run_key)
    override = {"operations": {"add": {"inert": True}}}

    peer.result("restore_run", run_key=run_key, model_context=override)
    peer.result("call_operation", run_key=run_key, name="add")
    assert peer.result("get_run", run_key=run_key)["seq"] == 1

    peer.result("evict_run", run_key=run_key)
    peer.result("call_operation", run_key=run_key, name="add")
    assert peer.result("get_run", run_key=run_key)["seq"] == 2


def test_a_changed_model_is_told_when_it_comes_back(peer: Any, model_root: Any) -> None:
    model_file = model_root.add("changing", "def add(n):\n    return n\n")
    run = peer.result("create_run", model_file=model_file)
    peer.result("evict_run", run_key=run["run_key"])
    model_root.add("changing", "def add(n):\n    return n\n\nmore = 1\n")

    reply = peer.ask("restore_run", run_key=run["run_key"])

    (warning,) = reply["warnings"]
    assert warning["code"] == "MODEL_CHANGED"
    assert warning["began_with"] == run["model_fingerprint"]
    assert warning["now"] != run["model_fingerprint"]


# Session timeout


def test_a_run_nobody_asks_leaves_memory_after_the_session_timeout_unless_perpetual(
    make_daemon: Any, model_root: Any, counter_model: str, connect: Callable[..., Any], wait_until: Any
) -> None:
    daemon = make_daemon(model_root.path, env={"MODEL_WORKER_SESSION_TIMEOUT_SECONDS": "0.5"})
    peer = connect(daemon.endpoint)
    perpetual = create(peer, counter_model, perpetual=True)
    run_key = create(peer, counter_model)
    ephemeral = create(peer, counter_model, ephemeral=True)
    lost = create(peer, counter_model, ephemeral=True)
    peer.error("call_operation", run_key=lost, name="die")
    busy = peer.send("call_operation", run_key=run_key, name="nap", arguments=[1.0])
    reply = peer.receive()
    assert (reply["request_id"], reply["ok"]) == (busy, True), "a long request does not end its own run"

    # A run that is stopping is not live any more; it is told of as evicted once it is gone.
    wait_until(lambda: peer.result("read_events", run_key=run_key)["events"][-1]["kind"] == "evicted")
    *_, worked, evicted = peer.result("read_events", run_key=run_key)["events"]
    assert peer.result("get_run", run_key=run_key)["live"] is False
    assert (worked["kind"], evicted["reason"]) == ("state", "session timeout")
    rested = datetime.fromisoformat(evicted["at"]) - datetime.fromisoformat(worked["at"])
    assert rested.total_seconds() >= 0.5
    for gone in (ephemeral, lost):
        wait_until(lambda gone=gone: peer.ask("get_run", run_key=gone)["ok"] is False)

    assert peer.result("get_run", run_key=perpetual)["live"] is True
    assert peer.result("call_operation", run_key=run_key, name="add") == 2
    assert json.dumps("session timeout") in daemon.logged()
