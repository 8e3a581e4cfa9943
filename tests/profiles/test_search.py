"""Searches of a real daemon: what is found, in which order and fields, what is counted, what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protocol.client import Client

MARKET = "market"


@pytest.fixture(scope="module")
def runs(daemon: Any, plain: str, doubling: str) -> dict[str, str]:
    """Keys of runs by their names, all of them at rest; hidden from each other's tests by their creator."""
    keys: dict[str, str] = {}
    with daemon.client() as client:
        for name, model, fields in (
            ("first", plain, {"tags": ["a", "b"], "metadata": {"team": "red", "n": 1}}),
            ("second", plain, {"tags": ["a"], "metadata": {"team": "blue", "n": 2, "many": ["x", "y"]}}),
            ("Market Day", doubling, {"tags": ["b", "c"], "data": {"x": 5}}),
            ("secret test", plain, {"test": True}),
            ("unlucky", plain, {"actions": [{"kind": "execute", "name": "broken", "arguments": []}]}),
        ):
            started = client.start_run(model, name=name, created_by="searcher", wait_seconds=20, **fields)
            keys[name] = started["run"]["run_key"]
    return keys


def names(page: dict[str, Any]) -> list[str]:
    return [run["name"] for run in page["values"]]


def search(peer: Any, **query: Any) -> list[str]:
    """The names of what is found, in alphabetical order."""
    sort = [{"field": "name", "order": "asc"}]
    return names(peer.result("search_runs", query={"created_by": ["searcher"], **query}, sort=sort))


def find(peer: Any, document: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    page = peer.result("find_runs", filter={"created_by": "searcher", **document}, **fields)
    values: list[dict[str, Any]] = page["values"]
    return values


@pytest.mark.parametrize(
    ("query", "found"),
    (
        ({}, ["Market Day", "first", "second", "unlucky"]),
        ({"name": "market"}, ["Market Day"]),
        ({"tags": ["a", "b"]}, ["first"]),
        ({"any_tags": ["a", "c"]}, ["Market Day", "first", "second"]),
        ({"exclude_tags": ["a", "c"]}, ["unlucky"]),
        ({"status": ["failed"]}, ["unlucky"]),
        ({"status": ["ready"], "tags": ["b"]}, ["Market Day", "first"]),
        ({"metadata": {"team": "red"}}, ["first"]),
        ({"metadata": {"n": "2"}}, ["second"]),
        ({"metadata": {"many": "y"}}, ["second"]),
        ({"finish_reason": ["none"]}, ["Market Day", "first", "second"]),
        ({"query": "market"}, ["Market Day"]),
        ({"query": "tag:a metadata.team:blue"}, ["second"]),
        ({"query": '"market day" status:ready'}, ["Market Day"]),
        ({"query": '"day market"'}, []),
        ({"query": "OPERATION_FAILED"}, ["unlucky"]),
        ({"test": True}, ["secret test"]),
        ({"parent": False, "any_tags": ["c"]}, ["Market Day"]),
        ({"start": "2000-01-01", "end": "2001-01-01T00:00:00Z"}, []),
        (
            {"start": "2000-01-01T00:00:00+02:00", "environment": ["default"], "any_tags": ["c"]},
            ["Market Day"],
        ),
    ),
)
def test_a_search_finds_its_runs(peer: Any, runs: Any, query: dict[str, Any], found: list[str]) -> None:
    assert search(peer, **query) == found


def test_the_newest_change_comes_first_and_pages_cover_all(peer: Any, runs: dict[str, str]) -> None:
    query = {"created_by": ["searcher"]}
    whole = peer.result("search_runs", query=query)
    assert whole["total"] == 4
    times = [(run["updated_at"], run["run_key"]) for run in whole["values"]]
    assert times == sorted(times, reverse=True)
    pages = [peer.result("search_runs", query=query, first=first, max=3) for first in (0, 3)]
    assert [page["total"] for page in pages] == [4, 4]
    assert [run for page in pages for run in page["values"]] == whole["values"]
    peer.result("update_profile", run_key=whole["values"][-1]["run_key"], evaluation={"score": 0.37})
    assert peer.result("search_runs", query=query)["values"][0]["run_key"] == whole["values"][-1]["run_key"]
    assert [run["name"] for run in find(peer, {"evaluation.score": 0.37})] == [whole["values"][-1]["name"]]


def test_a_ref_is_the_profile_without_what_may_be_large(peer: Any, runs: dict[str, str]) -> None:
    peer.result("evict_run", run_key=runs["Market Day"])
    (ref,) = peer.result("search_runs", query={"created_by": ["searcher"], "name": "market"})["values"]
    profile = peer.result("get_profile", run_key=runs["Market Day"])
    left_out = {"parameters", "result", "result_schema", "context", "pending", "entry_points"}
    assert ref == {name: value for name, value in profile.items() if name not in left_out}
    (whole,) = find(peer, {"name": "Market Day"}, select="+parameters +result")
    assert whole == {**ref, "parameters": {"x": 5}, "result": profile["result"]}
    assert find(peer, {"name": "Market Day"}, select="id status result") == [
        {"run_key": runs["Market Day"], "status": "ready", "result": profile["result"]}
    ]
    assert find(peer, {"name": "Market Day"}, select="status -id") == [{"status": "ready"}]
    assert find(peer, {"name": "Market Day"}, select="-metadata")[0].keys() == ref.keys() - {"metadata"}


@pytest.mark.parametrize(
    ("document", "found"),
    (
        ({"tags": "a"}, {"first", "second"}),
        ({"tags": {"$all": ["a", "b"]}}, {"first"}),
        ({"tags": {"$size": 2}}, {"first", "Market Day"}),
        ({"parameters.x": {"$gte": 5}}, {"Market Day"}),
        ({"metadata.many": "x"}, {"second"}),
        ({"metadata.n": {"$in": [1, 2]}, "$nor": [{"metadata.team": "red"}]}, {"second"}),
        ({"$or": [{"status": "failed"}, {"metadata.n": {"$lt": 2}}]}, {"unlucky", "first"}),
        ({"finish_reason": {"$ne": None}}, {"unlucky"}),
        ({"error.code": {"$exists": True}}, {"unlucky"}),
        ({"test": True}, {"secret test"}),
        ({"metadata.team": {"$nin": ["red", "blue"]}}, {"Market Day", "unlucky"}),
        (
            {
                "created_at": {"$gt": "2000-01-01T00:00:00Z"},
                "tags": {"$not": {"$exists": False}},
                "tags.0": "a",
            },
            {"first", "second"},
        ),
    ),
)
def test_a_document_finds_its_runs(peer: Any, runs: Any, document: dict[str, Any], found: set[str]) -> None:
    if "tags.0" in document:
        error = peer.error("find_runs", filter=document)
        assert (error["code"], error["information"]["token"]) == ("INVALID_FILTER", "tags.0")
        return
    assert {run["name"] for run in find(peer, document)} == found


def test_facets_count_the_same_runs_as_a_search_finds(peer: Any, runs: Any, plain: str) -> None:
    fields = {
        "tags": "tags",
        "kinds": "status",
        "made": "created_by",
        "team": "metadata.team",
        "of": "interaction",
    }
    asked = [{"name": name, "field": field} for name, field in fields.items()]
    counted = peer.result("facet_runs", facets=asked, query={"created_by": ["searcher"]})
    assert counted["total"] == 4
    buckets = {
        name: [(bucket["value"], bucket["count"]) for bucket in facet["buckets"]]
        for name, facet in counted["facets"].items()
    }
    assert buckets["tags"] == [("a", 2), ("b", 2), (None, 1), ("c", 1)]
    assert buckets["kinds"] == [("ready", 3), ("failed", 1)]
    assert buckets["made"] == [("searcher", 4)]
    assert buckets["team"] == [(None, 2), ("blue", 1), ("red", 1)]
    assert buckets["of"][0] == (plain, 3)
    assert not any(facet["truncated"] for facet in counted["facets"].values())
    everything = peer.result("facet_runs", facets=asked)
    assert everything["total"] == sum(bucket["count"] for bucket in everything["facets"]["kinds"]["buckets"])


@pytest.mark.parametrize(
    ("kind", "fields", "token"),
    (
        ("find_runs", {"filter": {"$where": "1"}}, "$where"),
        ("find_runs", {"filter": {"name": {"$regex": "a"}}}, "$regex"),
        ("find_runs", {"filter": {"nam": "a"}}, "nam"),
        ("find_runs", {"filter": {"context.a": 1}}, "context.a"),
        ("find_runs", {"filter": {"$and": []}}, "$and"),
        ("find_runs", {"filter": {"status": {"$eq": {"$ne": 1}}}}, "$ne"),
        ("find_runs", {"filter": {"created_at": {"$gt": "now"}}}, "now"),
        ("find_runs", {"filter": {"name": {"$in": ["a"] * 501}}}, "501"),
        ("find_runs", {"filter": {"metadata." + ".".join("abcdefgh"): 1}}, "metadata.a.b.c.d.e.f.g.h"),
        ("find_runs", {"filter": {"name": "x" * 70_000}}, "70011 bytes"),
        ("find_runs", {"filter": {}, "select": "name -status"}, "name -status"),
        ("find_runs", {"filter": {}, "select": "secret"}, "secret"),
        ("facet_runs", {"facets": [{"name": "total", "field": "status"}]}, "total"),
        ("facet_runs", {"facets": [{"name": "a", "field": "name"}]}, "name"),
        ("facet_runs", {"facets": [{"name": "a", "field": "status"}, {"name": "a", "field": "tags"}]}, "a"),
        ("search_runs", {"query": {"start": "yesterday"}}, "yesterday"),
        ("search_runs", {"query": {"query": "a OR b"}}, "OR"),
        ("search_runs", {"query": {"query": "colour:red"}}, "colour"),
        ("search_runs", {"query": {"query": "status:done"}}, "done"),
        ("search_runs", {"sort": [{"field": "name"}, {"field": "name"}]}, "name"),
    ),
)
def test_what_cannot_be_asked_is_refused_by_name(
    peer: Any, kind: str, fields: dict[str, Any], token: str
) -> None:
    error = peer.error(kind, **fields)
    assert (error["code"], error["status"], error["retryable"]) == ("INVALID_FILTER", 400, False)
    assert error["information"]["token"] == token
    assert error["information"]["expected"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    (
        ("search_runs", {"query": {"stat": ["ready"]}}),
        ("search_runs", {"max": 201}),
        ("search_runs", {"first": -1}),
        ("search_runs", {"sort": [{"field": "tags"}]}),
        ("find_runs", {}),
        ("find_runs", {"filter": []}),
        ("facet_runs", {"facets": []}),
    ),
)
def test_a_request_that_is_none_is_refused(peer: Any, kind: str, fields: dict[str, Any]) -> None:
    assert peer.error(kind, **fields)["code"] == "INVALID_REQUEST"


def test_nothing_widens_what_an_actor_may_read(peer: Any, plain: str) -> None:
    mine = {"scope": {"scope_boundary": "GROUP", "scope_key": "g", "user_key": "ann"}, "created_by": "locked"}
    run_key = peer.result("start_run", model_file=plain, name="locked", wait_seconds=20, **mine)["run"][
        "run_key"
    ]
    wide = {"$or": [{"name": "locked"}, {"$nor": [{"name": "locked"}]}, {}]}
    for actor, sees in (
        ({"role": "PARTICIPANT", "user_key": "ann"}, True),
        ({"role": "PARTICIPANT", "user_key": "bob"}, False),
        ({"role": "USER", "user_key": "bob"}, False),
        ({"role": "AUTHOR"}, True),
        ({}, True),
    ):
        found = peer.result("find_runs", filter=wide, max=200, actor=actor)
        assert (run_key in [run["run_key"] for run in found["values"]]) is sees, actor
        counted = peer.result(
            "facet_runs",
            facets=[{"name": "by", "field": "created_by"}],
            query={"name": "locked"},
            actor=actor,
        )
        assert counted["total"] == int(sees), actor
        everything = peer.result("facet_runs", facets=[{"name": "by", "field": "created_by"}], actor=actor)
        values = [bucket["value"] for bucket in everything["facets"]["by"]["buckets"]]
        assert ("locked" in values) is sees
        assert everything["total"] == peer.result("search_runs", actor=actor)["total"]


def test_the_user_of_a_run_finds_it_where_its_lock_opens_to_users_only(peer: Any, plain: str) -> None:
    scope = {"scope_boundary": "GROUP", "scope_key": "g", "user_key": "eve"}
    for name, lock in (("open to eve", "USER"), ("closed to eve", "FACILITATOR")):
        permit = {"read_lock": lock, "write_lock": lock}
        made = {"model_file": plain, "scope": scope, "permit": permit, "created_by": "locksmith"}
        peer.result("start_run", name=name, wait_seconds=20, **made)
    query = {"created_by": ["locksmith"]}
    for actor, found in (
        ({"role": "PARTICIPANT", "user_key": "eve"}, ["open to eve"]),
        ({"role": "PARTICIPANT", "user_key": "bob"}, []),
        ({"role": "FACILITATOR", "user_key": "eve"}, ["closed to eve", "open to eve"]),
    ):
        sort = [{"field": "name", "order": "asc"}]
        page = peer.result("search_runs", query=query, actor=actor, sort=sort)
        assert (names(page), page["total"]) == (found, len(found)), actor
        counted = peer.result(
            "facet_runs", facets=[{"name": "n", "field": "status"}], query=query, actor=actor
        )
        assert counted["total"] == len(found), actor


def test_a_run_is_found_by_what_becomes_of_it(peer: Any, plain: str) -> None:
    made = {"model_file": plain, "name": "turning", "created_by": "turner", "wait_seconds": 20}
    run_key = peer.result("start_run", **made)["run"]["run_key"]
    seen = {"query": {"created_by": ["turner"]}}
    assert peer.result("search_runs", **seen)["values"][0]["live"]
    peer.result("update_profile", run_key=run_key, name="Späte Änderung", tags=["new"])
    assert peer.result("search_runs", query={"query": "änderung"})["values"][0]["run_key"] == run_key
    assert peer.result("search_runs", query={"name": "SPÄTE", "tags": ["new"]})["total"] == 1
    assert peer.result("search_runs", query={"query": "turning"})["total"] == 0
    peer.result("update_metadata", run_key=run_key, set={"order": {"id": 7}})
    assert find_key(peer, {"metadata.order.id": 7}) == [run_key]
    peer.result("update_run", run_key=run_key, closed=True)
    assert (
        peer.result("search_runs", query={"finish_reason": ["closed"], "created_by": ["turner"]})["total"]
        == 1
    )
    assert peer.result("search_runs", query={"query": "änderung closed"})["total"] == 1
    peer.result("delete_run", run_key=run_key)
    assert peer.result("search_runs", **seen)["total"] == 0
    assert peer.result("search_runs", query={"query": "änderung"})["total"] == 0


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        *(
            "$and",
            "$or",
            "$nor",
            "$not",
            "$eq",
            "$ne",
            "$in",
            "$nin",
            "$gt",
            "$lt",
            "$exists",
            "$all",
            "$size",
            "$where",
        ),
        *(
            "name",
            "status",
            "tags",
            "created_at",
            "metadata.n",
            "metadata.many",
            "result",
            "parameters.x.0",
            "test",
            "x",
        ),
        *("metadata.", "..", "config.version", "execution_time", "_id", "words", "resource_use.actions"),
    ]
)
GARBAGE = st.recursive(
    ANYTHING | st.sampled_from(["ready", "a", "red", "2026-01-01", 1]),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(NAMES, parts, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, GARBAGE, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS, text=st.text(max_size=20) | st.text(alphabet='abn:"*- metdt.', max_size=20))
@example(document={"$or": [{"name": {"$not": {"$in": [[], {}]}}}]}, text='"')
def test_any_document_and_any_words_are_answered_or_refused(
    peer: Any, runs: Any, document: Any, text: str
) -> None:
    """What is answered is right as far as it goes: a document and its opposite find every run between them."""
    both = [peer.ask("find_runs", filter=one) for one in (narrowed(document), narrowed({"$nor": [document]}))]
    codes = {None if reply["ok"] else reply["error"]["code"] for reply in both}
    assert len(codes) == 1
    assert codes <= {None, "INVALID_FILTER", "INVALID_REQUEST"}
    if codes == {None}:
        found = [run["run_key"] for reply in both for run in reply["result"]["values"]]
        assert sorted(found) == sorted(runs.values())
    reply = peer.ask("search_runs", query={"query": text})
    assert reply["ok"] or reply["error"]["code"] == "INVALID_FILTER"


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """Among the runs of this module, those that are tests too."""
    return {"$and": [document, {"created_by": "searcher", "test": {"$exists": True}}]}


def find_key(peer: Any, document: dict[str, Any]) -> list[str]:
    return [run["run_key"] for run in peer.result("find_runs", filter=document)["values"]]


def test_runs_of_every_making_are_found_after_a_restart_and_by_the_client(
    make_daemon: Callable[..., Any], model_root: Any, plain: str
) -> None:
    daemon = make_daemon(model_root.path)
    with daemon.client() as client:
        made = client.create_run(plain).run_key
        copy = client.clone_run(made).run_key
    daemon.stop()
    with make_daemon(model_root.path, data=daemon.data).client() as client:
        page = client.search_runs({"interaction": [plain]})
        assert {run["run_key"] for run in page["values"]} == {made, copy}
        assert client.find_runs({"parent": made}, select="id")["values"] == [{"run_key": copy}]
        counted = client.facet_runs([{"name": "s", "field": "status"}])
        assert counted["facets"]["s"]["buckets"] == [{"value": "ready", "count": 2}]
        check_ephemeral(client, plain)


def check_ephemeral(client: Client, plain: str) -> None:
    """What is not stored is not found."""
    client.create_run(plain, ephemeral=True)
    assert client.search_runs()["total"] == 2
