"""Action lists, queries and errors, fact by fact of the reference.

A fact that another test proves already names that test; the others have their case here.
"""

from collections.abc import Callable
from typing import Any

import pytest

from protocol.errors import ErrorCode

FACTS = """
actions: execute, get and set in one round trip, results in their order
actions: what is none of the three is refused with its place
actions: the first error stops them, and tells its index and what was completed
actions: what was completed stays and is recorded
actions: the request's time covers the whole list
actions: an operation's own limit holds inside a list
query: by scope, group, episode, and a group with its episodes
query: a user key in the scope is one more condition
query: values come from the archive only, nothing is restored
query: attributes, variables and metadata, compared by operators
query: groups of conditions
query: sorted by attributes, up and down
query: variables and metadata as maps, null where there is none
query: pages from 0, at most 200, 100 where nothing is said, the size used is told
query: pages together are every run once
query: who asks finds what it may read
query: a filter or sort that is none is refused with its place
"""
REQUESTS = "tests/integration/test_requests.py"
QUERIES, BAD_INPUT = "tests/integration/test_query_runs.py", "tests/integration/test_bad_input.py"
RITUALS, GUARDS = "tests/integration/test_rituals.py", "tests/integration/test_guards.py"
DEADLINES, REWIND = "tests/integration/test_deadlines.py", "tests/integration/test_rewind_clone.py"
ELSEWHERE = {
    "actions: execute, get and set in one round trip, results in their order": (
        "tests/epicenter/test_functions.py::test_a_function_of_the_adapter"
    ),
    "actions: what was completed stays and is recorded": (
        f"{REQUESTS}::test_actions_stop_at_the_first_error_and_keep_what_was_done"
    ),
    "actions: an operation's own limit holds inside a list": (
        f"{DEADLINES}::test_the_limit_of_an_operation_holds_inside_a_list_and_undoes_the_list"
    ),
    "query: by scope, group, episode, and a group with its episodes": (
        f"{QUERIES}::test_scopes_do_not_nest_and_a_group_shows_episodes_where_asked"
    ),
    "query: values come from the archive only, nothing is restored": (
        f"{QUERIES}::test_a_run_is_shown_as_get_run_shows_it_and_is_not_started"
    ),
    "query: pages together are every run once": "tests/contract/test_query.py::test_pages_cover_every_run_once",
    "query: who asks finds what it may read": f"{QUERIES}::test_an_actor_finds_the_runs_that_it_may_read",
    "query: a filter or sort that is none is refused with its place": (
        "tests/epicenter/test_properties.py::test_any_filter_and_sort_is_answered_or_refused_with_its_place"
    ),
}


def check_refused_actions(stage: Any) -> None:
    run_key = stage.run()
    good = {"kind": "execute", "name": "step"}
    bad: list[Any] = [
        {"name": "step"},
        {"kind": "perform", "name": "step"},
        {"kind": "execute"},
        {"kind": "set", "name": "secret"},
        {"kind": "get", "name": "secret", "value": 1},
        {"kind": "execute", "name": "step", "arguments": {}},
        {"kind": "execute", "name": ""},
        "step",
        None,
    ]
    for action in bad:
        error = stage.ask("perform_actions", run_key=run_key, actions=[good, action])["error"]
        assert error["code"] == "INVALID_REQUEST"
        assert error["information"]["path"].startswith("actions[1]")
    assert stage.code("perform_actions", run_key=run_key, actions=[]) == "INVALID_REQUEST"
    assert stage.view(run_key)["seq"] == 1, "nothing of it was done"


def check_first_error(stage: Any) -> None:
    for failing, code in (
        ({"kind": "execute", "name": "fail"}, "OPERATION_FAILED"),
        ({"kind": "execute", "name": "no_such"}, "UNKNOWN_OPERATION"),
        ({"kind": "set", "name": "no_such", "value": 1}, "UNKNOWN_VARIABLE"),
        ({"kind": "get", "name": "no_such"}, "UNKNOWN_VARIABLE"),
    ):
        run_key = stage.run()
        step = {"kind": "execute", "name": "step"}
        error = stage.ask("perform_actions", run_key=run_key, actions=[step, failing, step])["error"]
        assert (error["code"], error["information"]["index"]) == (code, 1)
        assert error["information"]["completed"] == [{"kind": "execute", "name": "step", "result": 1}]
        for key in (run_key, stage.evict(run_key)):
            assert stage.read(key, "price") == 1


def check_time(stage: Any) -> None:
    run_key = stage.run()
    asked = {
        "run_key": run_key,
        "request_id": f"list-{run_key}"[:64],
        "actions": [{"kind": "execute", "name": "nap", "arguments": [0.5]}] * 2,
    }
    error = stage.ask("perform_actions", deadline_seconds=0.8, **asked)["error"]
    assert (error["code"], error["information"]["applied"]) == ("DEADLINE_EXCEEDED", "unknown")
    again = stage.ask("perform_actions", **asked)
    assert [done["result"] for done in again["result"]] == [1, 2], "it went on, and is not done again"
    assert stage.read(run_key, "price") == 2


SCOPE = {"scope_boundary": "EPISODE", "scope_key": "e-facts"}


@pytest.fixture(scope="module")
def facts(stage: Any) -> dict[str, str]:
    """Runs by the words that the tables below use for them."""
    keys = {
        "a": stage.run(1, scope=SCOPE, tracking_key="foo-baz", metadata={"level": "bar-1", "open": True}),
        "b": stage.run(
            5, scope={**SCOPE, "user_key": "ada"}, tracking_key="bar-2", metadata={"level": "x-baz"}
        ),
        "c": stage.run(10, scope=SCOPE, metadata={"at": "2026-01-02T00:00:00Z", "open": False, "n": 5}),
        "d": stage.run(10, scope=SCOPE, metadata={"at": "2025-12-31", "n": "five", "level": None}),
    }
    stage.result("update_run", run_key=keys["d"], hidden=True)
    return {key: name for name, key in keys.items()}


def found(stage: Any, facts: dict[str, str], **fields: Any) -> str:
    page = stage.result("query_runs", **{"scope": SCOPE, "sort": "+run.created", **fields})
    return "".join(facts[run["run_key"]] for run in page["values"])


# Filter, and which of the runs it finds.
FILTERS = {
    "var.price=5": "b",
    "var.price!=5": "acd",
    "var.price>=5": "bcd",
    "var.price<=5": "ab",
    "var.price>5": "cd",
    "var.price<10": "ab",
    "var.price|=1|10": "acd",
    "var.price=5.0": "b",
    "run.trackingKey~=bar-*": "b",
    "run.tracking_key~=*-baz": "a",
    "meta.level~=bar-*": "a",
    "meta.level~=*-baz": "b",
    "meta.level~=*b*": "ab",
    "meta.level!~=*-baz": "acd",
    "run.userKey*=true": "b",
    "run.userKey=ada": "b",
    "meta.open*=true": "ac",
    "meta.open*=false": "bd",
    "meta.open=true": "a",
    "meta.open=false": "c",
    "run.hidden=false": "abc",
    "run.hidden=true": "d",
    "meta.at>2026-01-01": "c",
    "meta.at<2026-01-01T00:00:00.000Z": "d",
    "meta.n=5": "c",
    'meta.n="five"': "d",
    "meta.n>4": "c",
    "var.secret*=true": "",
    "var.price#selector@dialect*=true": "",
    "var.price>=5;run.hidden=false": "bc",
    "run.created>2020-01-01;run.created<2100-01-01T00:00:00Z": "abcd",
}
GROUPS = {
    "(var.price>=5;run.hidden=false)": "bc",
    "[var.price=1;meta.n=5]": "ac",
    "[var.price=1;(var.price=10;run.hidden=true)]": "ad",
    "([var.price=1;var.price=5];[meta.level~=bar-*;meta.open=false])": "a",
    "([(var.price=5)])": "b",
}
SORTS = {
    "+run.created": "abcd",
    "-run.created": "dcba",
    "-run.hidden;+run.created": "dabc",
    "+run.trackingKey;-run.created": "dcba",
}


def check_user(stage: Any, facts: dict[str, str]) -> None:
    assert found(stage, facts, scope={**SCOPE, "user_key": "ada"}) == "b"
    assert found(stage, facts, scope={**SCOPE, "user_key": "bob"}) == ""


def check_filters(stage: Any, facts: dict[str, str]) -> None:
    assert {text: found(stage, facts, filter=text) for text in FILTERS} == FILTERS


def check_groups(stage: Any, facts: dict[str, str]) -> None:
    assert {text: found(stage, facts, filter=text) for text in GROUPS} == GROUPS
    assert stage.code("query_runs", filter="{var.price=1}") == "INVALID_FILTER"


def check_sorts(stage: Any, facts: dict[str, str]) -> None:
    assert {text: found(stage, facts, sort=text) for text in SORTS} == SORTS
    for text in ("var.price", "+var.price", "+run.nothing", "+run.live"):
        assert stage.code("query_runs", sort=text) == "INVALID_FILTER"


def check_values(stage: Any, facts: dict[str, str]) -> None:
    page = stage.result(
        "query_runs", scope=SCOPE, filter="meta.n=5", variables=["secret", "price"], metadata=["level", "n"]
    )
    (run,) = page["values"]
    assert (run["variables"], run["meta_data"]) == ({"secret": None, "price": 10}, {"level": None, "n": 5})
    (bare,) = stage.result("query_runs", scope=SCOPE, filter="meta.n=5")["values"]
    assert not {"variables", "meta_data"} & set(bare)


def check_pages(stage: Any, facts: dict[str, str]) -> None:
    for fields, expected in (
        ({}, (0, 100, 4, 4)),
        ({"max": 500}, (0, 200, 4, 4)),
        ({"first": 1, "max": 2}, (1, 2, 4, 2)),
        ({"first": 4}, (4, 100, 4, 0)),
    ):
        page = stage.result("query_runs", scope=SCOPE, **fields)
        assert (
            *(page[name] for name in ("first_result", "max_results", "total_results")),
            len(page["values"]),
        ) == expected


CASES: dict[str, Callable[[Any], None]] = {
    "actions: what is none of the three is refused with its place": check_refused_actions,
    "actions: the first error stops them, and tells its index and what was completed": check_first_error,
    "actions: the request's time covers the whole list": check_time,
}
QUERY_CASES: dict[str, Callable[[Any, dict[str, str]], None]] = {
    "query: a user key in the scope is one more condition": check_user,
    "query: attributes, variables and metadata, compared by operators": check_filters,
    "query: groups of conditions": check_groups,
    "query: sorted by attributes, up and down": check_sorts,
    "query: variables and metadata as maps, null where there is none": check_values,
    "query: pages from 0, at most 200, 100 where nothing is said, the size used is told": check_pages,
}


@pytest.mark.parametrize("fact", CASES)
def test_a_fact_about_actions(stage: Any, fact: str) -> None:
    CASES[fact](stage)


@pytest.mark.parametrize("fact", QUERY_CASES)
def test_a_fact_about_queries(stage: Any, facts: dict[str, str], fact: str) -> None:
    QUERY_CASES[fact](stage, facts)


def test_every_fact_has_a_case(find_test: Callable[[str], bool]) -> None:
    assert {*CASES, *QUERY_CASES, *ELSEWHERE} == set(FACTS.strip().splitlines())
    assert [test for test in ELSEWHERE.values() if not find_test(test)] == []


# Errors: the table of the wire contract, and where each code is seen.

STATUSES = """
400 INVALID_REQUEST UNSUPPORTED_VERSION UNKNOWN_TYPE INVALID_CONTEXT INVALID_FILTER REWIND_INVALID RITUAL_NOT_ALLOWED
403 GUARD_VIOLATION PERMIT_VIOLATION
404 RUN_NOT_FOUND MODEL_NOT_FOUND UNKNOWN_OPERATION UNKNOWN_VARIABLE
409 RUN_NOT_LIVE RUN_CLOSED RUN_EPHEMERAL REQUEST_ID_REUSED RUN_LIMIT_REACHED
410 UNRECORDED_VARIABLE
413 MESSAGE_TOO_LARGE RESULT_TOO_LARGE
422 OPERATION_FAILED UNENCODABLE_VALUE MODEL_LOAD_FAILED
500 REPLAY_DIVERGED INTERNAL_ERROR
502 PROCESS_EXITED LIMIT_EXCEEDED
503 CAPACITY DRAINING LOG_UNAVAILABLE FENCED OUTCOME_UNKNOWN
504 DEADLINE_EXCEEDED OPERATION_TIMEOUT BOOT_TIMEOUT
"""
SEEN = {
    "INVALID_REQUEST": f"{BAD_INPUT}::test_a_field_that_is_wrong_is_named",
    "UNSUPPORTED_VERSION": f"{BAD_INPUT}::test_another_version_is_refused_with_what_is_spoken",
    "UNKNOWN_TYPE": f"{BAD_INPUT}::test_an_unknown_type_is_refused_with_those_known",
    "INVALID_CONTEXT": f"{BAD_INPUT}::test_a_context_in_a_request_that_cannot_be_served_is_refused_by_property",
    "INVALID_FILTER": f"{QUERIES}::test_a_filter_that_is_none_is_refused_with_its_place",
    "REWIND_INVALID": f"{REWIND}::test_an_impossible_rewind_leaves_everything_as_it_was",
    "RITUAL_NOT_ALLOWED": f"{RITUALS}::test_many_runs_take_no_ritual_but_exorcise",
    "GUARD_VIOLATION": f"{GUARDS}::test_a_guard_refuses_on_every_route_and_leaves_no_trace",
    "PERMIT_VIOLATION": (
        "tests/integration/test_permits.py::test_a_stranger_is_refused_on_every_route_and_leaves_no_trace"
    ),
    "RUN_NOT_FOUND": f"{RITUALS}::test_outcome_of_a_request_under_a_ritual",
    "MODEL_NOT_FOUND": f"{BAD_INPUT}::test_a_model_file_that_is_none_is_refused",
    "UNKNOWN_OPERATION": f"{REQUESTS}::test_an_unknown_name_leaves_no_trace",
    "UNKNOWN_VARIABLE": f"{REQUESTS}::test_an_unknown_name_leaves_no_trace",
    "RUN_NOT_LIVE": f"{RITUALS}::test_outcome_of_a_request_under_a_ritual",
    "RUN_CLOSED": f"{RITUALS}::test_outcome_of_a_request_that_no_ritual_applies_to",
    "RUN_EPHEMERAL": f"{REQUESTS}::test_an_ephemeral_run_has_no_durable_clone",
    "REQUEST_ID_REUSED": "tests/integration/test_idempotency.py::test_a_request_id_used_for_another_request_is_refused",
    "UNRECORDED_VARIABLE": f"{RITUALS}::test_outcome_of_a_request_under_a_ritual",
    "MESSAGE_TOO_LARGE": f"{BAD_INPUT}::test_a_body_over_the_limit_is_refused_with_both_sizes",
    "RESULT_TOO_LARGE": f"{BAD_INPUT}::test_a_reply_over_the_limit_becomes_an_error",
    "OPERATION_FAILED": "tests/epicenter/test_author.py::test_an_author_may_rely_on",
    "UNENCODABLE_VALUE": "tests/integration/test_child.py::test_a_result_that_cannot_be_sent_is_an_error",
    "MODEL_LOAD_FAILED": f"{BAD_INPUT}::test_a_model_that_cannot_be_loaded_says_why",
    "REPLAY_DIVERGED": (
        "tests/integration/test_determinism.py"
        "::test_a_divergence_names_seq_action_and_both_digests_and_leaves_the_history"
    ),
    "INTERNAL_ERROR": "tests/unit/supervisor/test_flights.py::test_a_bug_costs_its_request_and_goes_to_the_log",
    "PROCESS_EXITED": f"{RITUALS}::test_an_ending_ritual_ends_the_run_however_the_operation_fails",
    "LIMIT_EXCEEDED": "tests/integration/test_context_limits.py::test_an_action_that_uses_too_much_processor_time_is_ended",
    "CAPACITY": (
        "tests/integration/test_concurrency.py::test_a_full_inbox_refuses_more_and_says_when_to_come_back"
    ),
    "DRAINING": "tests/integration/test_drain.py::test_a_draining_worker_ends_what_it_began_and_refuses_the_rest",
    "LOG_UNAVAILABLE": (
        "tests/fault/test_damaged_data.py"
        "::test_damage_met_while_running_fails_those_who_need_the_page_and_nobody_else"
    ),
    "FENCED": "tests/contract/test_store.py::test_a_writer_of_another_epoch_or_head_is_fenced_and_leaves_nothing",
    "OUTCOME_UNKNOWN": (
        "tests/unit/runs/test_lifecycle.py"
        "::test_a_write_that_fails_ends_the_process_because_it_is_ahead_of_its_log"
    ),
    "DEADLINE_EXCEEDED": f"{DEADLINES}::test_a_request_whose_deadline_passes_in_the_queue_is_never_applied",
    "OPERATION_TIMEOUT": f"{DEADLINES}::test_an_operation_over_its_own_limit_ends_the_process_and_leaves_the_state",
    "BOOT_TIMEOUT": f"{DEADLINES}::test_a_model_that_does_not_load_in_time_makes_no_run",
}


def test_every_code_has_the_status_of_the_contract() -> None:
    for line in STATUSES.strip().splitlines():
        status, *codes = line.split()
        assert {ErrorCode(code).status for code in codes} == {int(status)}


@pytest.mark.parametrize("code", SEEN)
def test_every_code_is_seen_by_a_test(find_test: Callable[[str], bool], code: str) -> None:
    assert find_test(SEEN[code]), SEEN[code]


def test_an_error_tells_code_status_message_and_whether_to_try_again(stage: Any) -> None:
    reply = stage.ask("get_run", run_key="0" * 36)
    assert set(reply) == {"version", "request_id", "ok", "error"}
    assert reply["error"] == {
        "code": "RUN_NOT_FOUND",
        "status": 404,
        "retryable": False,
        "message": reply["error"]["message"],
        "information": reply["error"]["information"],
    }
    assert "0" * 36 in reply["error"]["message"]
