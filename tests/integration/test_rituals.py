"""Every request kind, every ritual, every state a run may be in: the outcomes of the ritual table.

The tables below are the reference's own, word for word; the code under test is not consulted.
"""

from dataclasses import dataclass
from typing import Any

import pytest

RITUALS = ("NONE", "INTER", "REANIMATE", "REVIVE", "EXORCISE", "RESURRECT")
ENDING = ("EXORCISE", "RESURRECT")
STATES = ("live", "archived", "closed", "ephemeral", "missing")
MISSING_KEY = "0" * 36

# What comes of a request to a run that is not in memory: read from the archive; 410 for what is not archived;
# a fault because the run is down; restored and left in memory; restored and ended.
NOT_IN_MEMORY = """
                     NONE     INTER  REANIMATE  REVIVE   EXORCISE  RESURRECT
call_operation       fault    fault  restore    restore  end       end
call_inert           fault    fault  restore    restore  end       end
call_failing         fault    fault  restore    restore  end       end
read_recorded        archive  fault  archive    restore  archive   end
read_unrecorded      410      fault  410        restore  410       end
read_ignorable       archive  fault  archive    restore  archive   end
read_unknown         410      fault  410        restore  410       end
read_unknown_ign     archive  fault  archive    restore  archive   end
write_variables      fault    fault  restore    restore  end       end
perform_change       fault    fault  restore    restore  end       end
perform_gets         archive  fault  archive    restore  archive   end
perform_unrecorded   410      fault  410        restore  410       end
"""
HEADER, *ROWS = (line.split() for line in NOT_IN_MEMORY.strip().splitlines())
TABLE = {(row[0], ritual): cell for row in ROWS for ritual, cell in zip(HEADER, row[1:], strict=True)}

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "call_operation": ("call_operation", {"name": "add", "arguments": [3]}),
    "call_inert": ("call_operation", {"name": "peek"}),
    "call_failing": ("call_operation", {"name": "fail", "arguments": ["on purpose"]}),
    "read_recorded": ("read_variables", {"names": ["counter"]}),
    "read_unrecorded": ("read_variables", {"names": ["counter", "secret", "label"]}),
    "read_ignorable": ("read_variables", {"names": ["counter", "secret"], "ignorable": True}),
    "read_unknown": ("read_variables", {"names": ["counter", "no_such"]}),
    "read_unknown_ign": ("read_variables", {"names": ["no_such", "counter"], "ignorable": True}),
    "write_variables": ("write_variables", {"values": {"secret": 9, "label": "x"}}),
    "perform_change": (
        "perform_actions",
        {
            "actions": [
                {"kind": "get", "name": "secret"},
                {"kind": "execute", "name": "add", "arguments": [1]},
                {"kind": "set", "name": "secret", "value": [1]},
            ]
        },
    ),
    "perform_gets": ("perform_actions", {"actions": [{"kind": "get", "name": "counter"}]}),
    "perform_unrecorded": (
        "perform_actions",
        {"actions": [{"kind": "get", "name": "counter"}, {"kind": "get", "name": "secret"}]},
    ),
}

# A run of these tests has counter 2 (recorded), secret 7 (never recorded) and a history of three entries.
SEQ = 3
RESULTS: dict[str, Any] = {
    "call_operation": 5,
    "call_inert": 2,
    "read_recorded": {"counter": 2},
    "read_unrecorded": {"counter": 2, "secret": 7, "label": "none"},
    "read_ignorable": {"counter": 2, "secret": 7},
    "read_unknown_ign": {"no_such": None, "counter": 2},
    "write_variables": {"secret": 9, "label": "x"},
    "perform_change": [
        {"kind": "get", "name": "secret", "value": 7},
        {"kind": "execute", "name": "add", "result": 3},
        {"kind": "set", "name": "secret", "value": [1]},
    ],
    "perform_gets": [{"kind": "get", "name": "counter", "value": 2}],
    "perform_unrecorded": [
        {"kind": "get", "name": "counter", "value": 2},
        {"kind": "get", "name": "secret", "value": 7},
    ],
}
FROM_ARCHIVE = {**RESULTS, "read_ignorable": {"counter": 2, "secret": None}}
UNARCHIVED = {
    "read_unrecorded": ["secret", "label"],
    "read_unknown": ["no_such"],
    "perform_unrecorded": ["secret"],
}
FAILURES = {"call_failing": "OPERATION_FAILED", "read_unknown": "UNKNOWN_VARIABLE"}
"""What comes of a request that its process cannot serve; a ritual that ends the run ends it all the same."""
ADDED = {"call_operation": 1, "call_failing": 1, "write_variables": 2, "perform_change": 2}


@dataclass(frozen=True)
class Expected:
    """Outcome of a case: an error code, or where the result came from; and whether the run is in memory."""

    error: str | None
    served_from: str
    live: bool
    seq: int


def expected(kind: str, ritual: str, state: str) -> Expected:
    """The outcome that the reference gives."""
    if state == "missing":
        return Expected("RUN_NOT_FOUND", "", live=False, seq=0)
    failing = FAILURES.get(kind)
    after = SEQ + ADDED.get(kind, 0)
    if state in ("live", "ephemeral"):
        return Expected(failing, "memory", live=ritual not in ENDING, seq=after)
    cell = TABLE[kind, ritual]
    if cell == "archive":
        return Expected(None, "archive", live=False, seq=SEQ)
    if cell == "410":
        return Expected("UNRECORDED_VARIABLE", "", live=False, seq=SEQ)
    if cell == "fault":
        return Expected("RUN_NOT_LIVE", "", live=False, seq=SEQ)
    if state == "closed":
        return Expected("RUN_CLOSED", "", live=False, seq=SEQ)
    return Expected(failing, "restored", live=cell == "restore", seq=after)


def make_run(peer: Any, model_file: str, state: str) -> str:
    """A new run in a state; the key of one that does not exist for ``missing``."""
    if state == "missing":
        return MISSING_KEY
    run_key: str = peer.result("create_run", model_file=model_file, ephemeral=state == "ephemeral")["run_key"]
    prepare = [
        {"kind": "execute", "name": "add", "arguments": [2]},
        {"kind": "set", "name": "secret", "value": 7},
    ]
    peer.result("perform_actions", run_key=run_key, actions=prepare)
    peer.result("update_metadata", run_key=run_key, set={"team": "red"})
    if state == "archived":
        peer.result("evict_run", run_key=run_key)
    if state == "closed":
        peer.result("update_run", run_key=run_key, closed=True)
    return run_key


def check_after(peer: Any, run_key: str, state: str, *, live: bool, seq: int) -> None:
    """Whether the run is in memory, and the head of its history; an ephemeral one is nowhere else."""
    if state == "missing" or (state == "ephemeral" and not live):
        assert peer.error("get_run", run_key=run_key)["code"] == "RUN_NOT_FOUND"
        return
    run = peer.result("get_run", run_key=run_key)
    assert (run["live"], run["seq"]) == (live, seq)
    assert run["run_state"] == ("CLOSED" if state == "closed" else "ACTIVE" if live else "INACTIVE")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("ritual", RITUALS)
@pytest.mark.parametrize("kind", REQUESTS)
def test_outcome_of_a_request_under_a_ritual(
    peer: Any, counter_model: str, kind: str, ritual: str, state: str
) -> None:
    run_key = make_run(peer, counter_model, state)
    want = expected(kind, ritual, state)
    type_, fields = REQUESTS[kind]

    reply = peer.ask(type_, run_key=run_key, ritual=ritual, **fields)

    if want.error is None:
        assert reply["ok"], reply["error"]
        assert reply["result"] == (FROM_ARCHIVE if want.served_from == "archive" else RESULTS)[kind]
        assert reply["run"] == {
            "run_key": run_key,
            "served_from": want.served_from,
            "ritual": ritual,
            "seq": want.seq,
        }
    else:
        assert reply["error"]["code"] == want.error
        if want.error == "UNRECORDED_VARIABLE":
            assert reply["error"]["status"] == 410
            assert reply["error"]["information"]["names"] == UNARCHIVED[kind]
    check_after(peer, run_key, state, live=want.live, seq=want.seq)


@pytest.mark.parametrize("kind", REQUESTS)
def test_the_ritual_is_reanimate_where_none_is_given(peer: Any, counter_model: str, kind: str) -> None:
    run_key = make_run(peer, counter_model, "archived")
    want = expected(kind, "REANIMATE", "archived")
    type_, fields = REQUESTS[kind]

    reply = peer.ask(type_, run_key=run_key, **fields)

    assert reply.get("error", {}).get("code") == want.error
    if want.error is None:
        assert reply["run"]["ritual"] == "REANIMATE"
    check_after(peer, run_key, "archived", live=want.live, seq=want.seq)


@pytest.mark.parametrize("state", ("live", "archived"))
@pytest.mark.parametrize("ritual", ENDING)
@pytest.mark.parametrize("name", ("fail", "no_such_operation", "hang", "die"))
def test_an_ending_ritual_ends_the_run_however_the_operation_fails(
    peer: Any, counter_model: str, ritual: str, name: str, state: str
) -> None:
    run_key = make_run(peer, counter_model, state)
    codes = {
        "fail": "OPERATION_FAILED",
        "no_such_operation": "UNKNOWN_OPERATION",
        "hang": "OPERATION_TIMEOUT",
        "die": "PROCESS_EXITED",
    }

    error = peer.error("call_operation", run_key=run_key, name=name, ritual=ritual)

    assert error["code"] == codes[name]
    check_after(peer, run_key, state, live=False, seq=SEQ + (name == "fail"))


# Requests that no ritual applies to, by state of the run: where a result comes from (where the reply says so)
# or the error, and whether the run is in memory afterwards.
WITHOUT_RITUAL = """
                 live           archived        closed           ephemeral       missing
get_run          ok,live        ok,down         ok,down          ok,live         404
update_run       ok,live        ok,down         ok,down          ok,live         404
evict_run        ok,down        ok,down         ok,down          ok,down         404
restore_run      memory,live    restored,live   RUN_CLOSED,down  memory,live     404
rewind_run       restored,live  restored,live   RUN_CLOSED,down  restored,live   404
clone_run        restored,live  restored,down   restored,down    restored,live   404
read_metadata    ok,live        ok,down         ok,down          ok,live         404
update_metadata  ok,live        ok,down         ok,down          ok,live         404
read_history     ok,live        ok,down         ok,down          ok,live         404
read_events      ok,live        ok,down         ok,down          ok,live         404
introspect_run   ok,live        ok,down         ok,down          ok,live         404
"""
STATE_HEADER, *STATE_ROWS = (line.split() for line in WITHOUT_RITUAL.strip().splitlines())
WITHOUT: dict[str, dict[str, str]] = {
    row[0]: dict(zip(STATE_HEADER, row[1:], strict=True)) for row in STATE_ROWS
}
FIELDS: dict[str, dict[str, Any]] = {
    "update_run": {"marked": True},
    "rewind_run": {"rewind_count": 1},
    "read_metadata": {"names": ["team"]},
    "update_metadata": {"set": {"team": "blue"}},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", WITHOUT)
def test_outcome_of_a_request_that_no_ritual_applies_to(
    peer: Any, counter_model: str, kind: str, state: str
) -> None:
    run_key = make_run(peer, counter_model, state)
    cell = WITHOUT[kind][state]

    reply = peer.ask(kind, run_key=run_key, **FIELDS.get(kind, {}))

    if cell == "404":
        assert reply["error"]["code"] == "RUN_NOT_FOUND"
        return
    outcome, where = cell.split(",")
    if outcome == "RUN_CLOSED":
        assert reply["error"]["code"] == "RUN_CLOSED"
    else:
        assert reply["ok"], reply["error"]
        check_result(kind, reply, run_key, outcome, state)
    seq = SEQ + (kind == "rewind_run" and outcome != "RUN_CLOSED")
    check_after(peer, run_key, state, live=where == "live", seq=seq)


@pytest.mark.parametrize("kind", WITHOUT)
def test_a_request_that_no_ritual_applies_to_takes_none(peer: Any, kind: str) -> None:
    error = peer.error(kind, run_key=MISSING_KEY, ritual="REVIVE", **FIELDS.get(kind, {}))
    assert (error["code"], error["information"]["path"]) == ("INVALID_REQUEST", "ritual")


def test_a_query_brings_nothing_into_memory(peer: Any, counter_model: str) -> None:
    keys = {state: make_run(peer, counter_model, state) for state in STATES}
    found = peer.result("query_runs", sort="-run.created", max=3, variables=["counter"])["values"]
    assert [run["run_key"] for run in found] == [keys["closed"], keys["archived"], keys["live"]]
    assert [run["variables"] for run in found] == [{"counter": 2}] * 3
    assert [run["live"] for run in found] == [False, False, True]
    for state, run_key in keys.items():
        check_after(peer, run_key, state, live=state in ("live", "ephemeral"), seq=SEQ)


def check_result(kind: str, reply: dict[str, Any], run_key: str, outcome: str, state: str) -> None:
    """What each request answers with."""
    result = reply["result"]
    if outcome in ("memory", "restored"):
        assert reply["run"]["served_from"] == outcome
        assert result["live"] is True
        assert result["run_state"] == "ACTIVE"
    match kind:
        case "get_run" | "restore_run" | "rewind_run":
            assert result["run_key"] == run_key
        case "update_run":
            assert result["marked"] is True
        case "evict_run":
            assert result is None
        case "clone_run":
            assert result["run_key"] != run_key
            assert (result["cloned_from"], result["seq"]) == (run_key, SEQ)
            assert (result["ephemeral"], result["closed"]) == (state == "ephemeral", False)
        case "read_metadata":
            assert result == {"team": "red"}
        case "update_metadata":
            assert result == {"team": "blue"}
        case "read_events":
            assert [event["event"] for event in result["events"]] == [*range(1, result["head_event"] + 1)]
        case "introspect_run":
            assert "add" in [function["name"] for function in result["functions"]]
        case _:
            assert [entry["kind"] for entry in result["entries"]] == ["boot", "execute", "set"]
            assert result["head_seq"] == SEQ


# Many runs at once


@pytest.mark.parametrize("ritual", tuple(ritual for ritual in RITUALS if ritual != "EXORCISE"))
@pytest.mark.parametrize("kind", ("call_operation", "read_recorded", "write_variables", "perform_gets"))
def test_many_runs_take_no_ritual_but_exorcise(peer: Any, counter_model: str, kind: str, ritual: str) -> None:
    run_key = make_run(peer, counter_model, "live")
    type_, fields = REQUESTS[kind]

    error = peer.error(type_, run_keys=[run_key], ritual=ritual, **fields)

    assert (error["code"], error["status"]) == ("RITUAL_NOT_ALLOWED", 400)
    check_after(peer, run_key, "live", live=True, seq=SEQ)


@pytest.mark.parametrize("given", ({}, {"ritual": "EXORCISE"}))
@pytest.mark.parametrize("kind", REQUESTS)
def test_many_runs_are_served_with_exorcise_each_by_its_own_state(
    peer: Any, counter_model: str, kind: str, given: dict[str, str]
) -> None:
    keys = {state: make_run(peer, counter_model, state) for state in STATES}
    type_, fields = REQUESTS[kind]

    result = peer.result(type_, run_keys=list(keys.values()), **given, **fields)

    assert list(result) == list(keys.values())
    for state, run_key in keys.items():
        want = expected(kind, "EXORCISE", state)
        answer = result[run_key]
        if want.error is None:
            values = FROM_ARCHIVE if want.served_from == "archive" else RESULTS
            assert answer == {"ok": True, "result": values[kind]}
        else:
            assert not answer["ok"]
            assert answer["error"]["code"] == want.error
        check_after(peer, run_key, state, live=False, seq=want.seq)


@pytest.mark.parametrize("kind", ("update_run", "evict_run", "read_metadata", "update_metadata"))
def test_many_runs_without_ritual_are_served_each_by_its_own_state(
    peer: Any, counter_model: str, kind: str
) -> None:
    keys = {state: make_run(peer, counter_model, state) for state in STATES}

    result = peer.result(kind, run_keys=list(keys.values()), **FIELDS.get(kind, {}))

    for state, run_key in keys.items():
        assert result[run_key]["ok"] is (state != "missing")
        live = state in ("live", "ephemeral") and kind != "evict_run"
        check_after(peer, run_key, state, live=live, seq=SEQ)
    assert result[MISSING_KEY]["error"]["code"] == "RUN_NOT_FOUND"


def test_many_runs_are_served_side_by_side(peer: Any, counter_model: str) -> None:
    keys = [make_run(peer, counter_model, "live") for _ in range(8)]
    before = peer.result("ping")["uptime_seconds"]

    result = peer.result("call_operation", run_keys=keys, name="nap", arguments=[0.5])

    took = peer.result("ping")["uptime_seconds"] - before
    assert [answer["result"] for answer in result.values()] == [3] * 8
    assert took < 8 * 0.5 / 2


def test_a_run_named_twice_among_many_is_refused_by_name(peer: Any, counter_model: str) -> None:
    run_key = make_run(peer, counter_model, "live")

    error = peer.error("call_operation", run_keys=[run_key, run_key], name="add")

    assert error["code"] == "INVALID_REQUEST"
    assert "twice" in error["message"]
    check_after(peer, run_key, "live", live=True, seq=SEQ)


@pytest.mark.parametrize("keys", ({}, {"run_key": MISSING_KEY, "run_keys": [MISSING_KEY]}, {"run_keys": []}))
def test_neither_both_nor_no_run_may_be_named(peer: Any, keys: dict[str, Any]) -> None:
    assert peer.error("call_operation", name="add", **keys)["code"] == "INVALID_REQUEST"


def test_at_most_a_thousand_runs_may_be_named(peer: Any) -> None:
    keys = [f"{number:036d}" for number in range(1001)]

    assert peer.error("evict_run", run_keys=keys)["code"] == "INVALID_REQUEST"
    answers = peer.result("evict_run", run_keys=keys[:1000])
    assert {answer["error"]["code"] for answer in answers.values()} == {"RUN_NOT_FOUND"}
