"""Lists, searches, documents of operators, facets and filter options over HTTP, in the words of each API."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

DATA = {"my-param": 7}
MINE = "seeker"


@pytest.fixture(scope="module")
def found(runs: Any, cluster: Any) -> dict[str, str]:
    """Runs at rest by their names; hidden from other tests by their creator."""
    token = f"dev:AUTHOR:{MINE}"
    ids = {}
    for name, fields in (
        ("first", {"interaction": "scribe.py", "data": DATA, "tags": ["a", "b"]}),
        ("second", {"interaction": "scribe.py", "data": DATA, "tags": "a", "id": "chosen-id"}),
        ("third", {"interaction": "plain.py", "tags": ["c"]}),
        ("unlucky", {"interaction": "broken.py"}),
    ):
        body = {"name": name, "waitTime": 20, **fields}
        ids[name] = runs.result("POST", "", body, token=token, code=201)["id"]
    body = {"modelFile": "scribe.py", "name": "asked", "initialPrompt": "completed work", "waitTime": 20}
    metadata = {"url": "http://a:1", "n": "2"}
    asked = cluster.result("POST", "/runs", {**body, "metadata": metadata}, token=token, code=201)
    return {**ids, "asked": asked["id"]}


@pytest.fixture(scope="module")
def listed(runs: Any, found: Any) -> Callable[..., list[str]]:
    """``listed(filters)``: the names of runs that a list has, in alphabetical order."""

    def names(**query: Any) -> list[str]:
        page = runs.result("GET", "", created_by=f"user:{MINE}", **query)
        return sorted(run["name"] for run in page)

    return names


@pytest.fixture(scope="module")
def searched(runs: Any, found: Any) -> Callable[..., list[str]]:
    """``searched(fields)``: the names of runs that a search has, in alphabetical order."""

    def names(**query: Any) -> list[str]:
        body = {"query": {"created_by": MINE, **query}, "sort": [{"field": "name", "order": "asc"}]}
        return [run["name"] for run in runs.result("POST", "/search", body)]

    return names


@pytest.fixture(scope="module")
def matching(runs: Any, found: Any) -> Callable[..., list[str]]:
    """``matching(document)``: the names of runs that a document finds, in alphabetical order."""

    def names(document: dict[str, Any]) -> list[str]:
        query = {"$and": [{"created_by": f"user:{MINE}"}, document]}
        values = runs.result("POST", "/find", {"query": query, "select": "name"})
        return sorted(run["name"] for run in values)

    return names


ALL = ["asked", "first", "second", "third", "unlucky"]


@pytest.mark.parametrize(
    ("query", "names"),
    (
        ({}, ALL),
        ({"interaction": "scribe.py"}, ["asked", "first", "second"]),
        ({"interaction": ["plain.py", "broken.py"]}, ["third", "unlucky"]),
        ({"interaction": "plain.py,broken.py"}, ["third", "unlucky"]),
        ({"status": "failed"}, ["unlucky"]),
        ({"status": "completed", "interaction": "plain.py"}, ["third"]),
        ({"status": ["completed", "failed"]}, ALL),
        ({"environment": "default"}, ALL),
        ({"environment": "other"}, []),
        ({"tag": "a,c"}, ["first", "second", "third"]),
        ({"tag": ["b", "c"]}, ["first", "third"]),
        ({"parent": "false"}, ALL),
        ({"is_root": "true"}, ALL),
        ({"finish_reason": "failed_init"}, ["unlucky"]),
        ({"finish_reason": "none"}, ["asked", "first", "second", "third"]),
    ),
)
def test_a_list_has_what_matches_any_value_of_every_filter(
    listed: Any, query: dict[str, Any], names: list[str]
) -> None:
    assert listed(**query) == names


def test_creators_are_named_with_or_without_their_kind(runs: Any, found: Any) -> None:
    assert len(runs.result("GET", "", created_by=MINE)) == len(ALL)
    assert len(runs.result("GET", "", created_by=f"nobody,user:{MINE}")) == len(ALL)
    assert runs.result("GET", "", created_by="nobody") == []


def test_models_tell_revisions_apart(runs: Any, listed: Any, found: Any) -> None:
    model = runs.result("GET", f"/{found['first']}")["modelId"]
    assert listed(model=model) == ["asked", "first", "second"]


def test_pages_cover_the_list_and_the_newest_change_is_first(runs: Any, found: Any) -> None:
    whole = runs.ask("GET", "", created_by=MINE)
    assert whole.headers["X-Total-Count"] == str(len(ALL))
    pages = [runs.ask("GET", "", created_by=MINE, limit=2, offset=first) for first in (0, 2, 4)]
    assert [one.headers["X-Total-Count"] for one in pages] == [str(len(ALL))] * 3
    assert [run["id"] for one in pages for run in one.json()] == [run["id"] for run in whole.json()]
    changed = [run["updated_at"] for run in whole.json()]
    assert changed == sorted(changed, reverse=True)


def test_refs_leave_out_what_is_large(runs: Any, found: Any) -> None:
    (ref,) = runs.result("GET", "", created_by=MINE, interaction="plain.py")
    whole = runs.result("GET", f"/{ref['id']}")
    assert {"parameters", "result", "result_schema", "prompt"}.isdisjoint(ref)
    assert set(whole) - set(ref) == {"parameters", "result", "result_errors", "result_schema", "prompt"}
    assert {**ref, "updated_at": ""} == {**{name: whole[name] for name in ref}, "updated_at": ""}


@pytest.mark.parametrize(
    ("query", "word"),
    (
        ({"limit": 201}, "limit"),
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
        ({"limit": "many"}, "limit"),
        ({"fromDate": "2026-01-01"}, "fromDate"),
        ({"workflow_ids": "x"}, "workflow_ids"),
        ({"status": "ready"}, "created, processing, completed, failed"),
        ({"status": ""}, "status"),
        ({"tag": "a,,b"}, "tag"),
        ({"parent": ["false", "0" * 36]}, "parent"),
        ({"parent": "0" * 36, "is_root": "true"}, "parent"),
        ({"is_root": "false"}, "is_root"),
    ),
)
def test_a_filter_that_means_nothing_is_refused_by_name(runs: Any, query: dict[str, Any], word: str) -> None:
    refused = runs.ask("GET", "", **query)
    assert refused.status_code == 400
    assert word in refused.json()["message"]


def test_children_are_found_by_the_id_of_their_parent(runs: Any, cluster: Any) -> None:
    body = {"interaction": "scribe.py", "data": DATA, "id": "the-parent", "waitTime": 20}
    parent = runs.result("POST", "", body, code=201)
    child = runs.result("POST", "/clone", {"source_run_id": "the-parent"})["id"]
    for named in ("the-parent", parent["run_key"]):
        assert [run["id"] for run in runs.result("GET", "", parent=named)] == [child]
        found = runs.result("POST", "/search", {"query": {"parent": [named, "no-such-run"]}})
        assert [run["id"] for run in found] == [child]
    assert runs.result("GET", "", parent="no-such-run") == []
    roots = [run["id"] for run in runs.result("GET", "", parent="false", limit=200)]
    assert "the-parent" in roots
    assert child not in roots


@pytest.mark.parametrize(
    ("query", "names"),
    (
        ({}, ALL),
        ({"name": "IR"}, ["first", "third"]),
        ({"status": "failed"}, ["unlucky"]),
        ({"status": ["completed"], "tags": ["a", "b"]}, ["first"]),
        ({"tags": ["a"], "exclude_tags": "b"}, ["second"]),
        ({"query": "work completed"}, ["asked"]),
        ({"query": '"work completed"'}, []),
        ({"query": "status:completed tag:a"}, ["first", "second"]),
        ({"query": 'status:"failed"'}, ["unlucky"]),
        ({"query": "status:failed", "status": "completed"}, []),
        ({"query": f"created_by:user:{MINE} first"}, ["first"]),
        ({"query": '"status:failed"'}, []),
        ({"query": "interaction:plain.py"}, ["third"]),
        ({"run_ids": ["chosen-id", "no-such-run"]}, ["second"]),
        ({"start": "2026-01-01", "end": "2999-01-01T00:00:00.000Z"}, ALL),
        ({"end": "2020-01-01T00:00:00+02:00"}, []),
        ({"parent": False}, ALL),
        ({"is_root": True}, ALL),
        ({"finish_reason": ["none", "failed_init"]}, ALL),
        ({"object": "nobody"}, []),
    ),
)
def test_a_search_finds_what_all_fields_ask_for(
    searched: Any, query: dict[str, Any], names: list[str]
) -> None:
    assert searched(**query) == names


def test_run_ids_are_of_either_kind(searched: Any, runs: Any, found: Any) -> None:
    key = runs.result("GET", "/chosen-id")["run_key"]
    assert searched(run_ids=[key]) == searched(run_ids=["chosen-id"]) == ["second"]
    assert searched(run_ids=[found["first"], "chosen-id"]) == ["first", "second"]


def test_a_search_is_sorted_as_asked(runs: Any, found: Any) -> None:
    def names(*orders: Any) -> list[str]:
        body = {"query": {"created_by": MINE}, "sort": list(orders)}
        return [run["name"] for run in runs.result("POST", "/search", body)]

    assert names({"field": "name", "order": "desc"}) == ALL[::-1]
    made = names({"field": "created_at", "order": "asc"})
    assert made == ["first", "second", "third", "unlucky", "asked"]
    assert runs.ask("POST", "/search", {"sort": [{"field": "token_use"}]}).status_code == 400


@pytest.mark.parametrize(
    "body",
    (
        {"query": {"workflow_ids": ["x"]}},
        {"query": {"status": "done"}},
        {"query": {"start": "yesterday"}},
        {"query": {"query": "a OR b"}},
        {"query": {"query": "status:done"}},
        {"query": {"parent": "x", "is_root": True}},
        {"limit": 201},
        {"only_meta": True},
    ),
)
def test_a_search_that_means_nothing_is_refused(runs: Any, body: dict[str, Any]) -> None:
    assert runs.ask("POST", "/search", body).status_code == 400


@pytest.mark.parametrize(
    ("document", "names"),
    (
        ({}, ALL),
        ({"status": "completed"}, ["asked", "first", "second", "third"]),
        ({"status": {"$ne": "completed"}}, ["unlucky"]),
        ({"status": {"$in": ["failed", "processing"]}}, ["unlucky"]),
        (
            {"status": {"$nin": ["failed"], "$in": ["failed", "completed"]}},
            ["asked", "first", "second", "third"],
        ),
        ({"status": {"$not": {"$eq": "failed"}}}, ["asked", "first", "second", "third"]),
        ({"$or": [{"status": "failed"}, {"tags": "c"}]}, ["third", "unlucky"]),
        ({"id": "chosen-id"}, ["second"]),
        ({"_id": {"$in": ["chosen-id", "x"]}}, ["second"]),
        ({"id": {"$ne": "chosen-id"}}, ["asked", "first", "third", "unlucky"]),
        ({"id": {"$not": {"$in": ["chosen-id"]}}}, ["asked", "first", "third", "unlucky"]),
        ({"id": {"$exists": True}}, ALL),
        ({"id": None}, []),
        ({"created_by": {"$ne": f"user:{MINE}"}}, []),
        ({"created_by": {"$not": {"$in": [f"user:{MINE}"]}}}, []),
        ({"tags": {"$all": ["a", "b"]}}, ["first"]),
        ({"parameters.my-param": {"$gte": 7}}, ["first", "second"]),
        ({"result.my-result": "7"}, ["first", "second"]),
        ({"metadata.url": "http://a:1"}, ["asked"]),
        ({"error.code": {"$exists": True}}, ["unlucky"]),
        ({"execution_time": {"$gte": 0}}, ALL),
        ({"chunks": 1, "config.environment": "default"}, ["asked", "first", "second"]),
        ({"source.type": "api", "interaction": "plain.py"}, ["third"]),
    ),
)
def test_a_document_finds_in_the_words_of_the_api(
    matching: Any, document: dict[str, Any], names: list[str]
) -> None:
    assert matching(document) == names


def test_what_is_found_has_the_selected_fields(runs: Any, found: Any) -> None:
    def one(select: str | None = None) -> dict[str, Any]:
        body = {"query": {"id": "chosen-id"}, **({} if select is None else {"select": select})}
        (value,) = runs.result("POST", "/find", body)
        return dict(value)

    assert one("id status created_by") == {
        "id": "chosen-id",
        "status": "completed",
        "created_by": f"user:{MINE}",
    }
    assert one("status -id") == {"status": "completed"}
    assert one("interaction environment parameters result") == {
        "id": "chosen-id",
        "interaction": "scribe.py",
        "environment": "default",
        "parameters": DATA,
        "result": {"my-result": "7"},
    }
    plain = one()
    assert "result" not in plain
    assert plain["interaction"] == "scribe.py"
    assert set(one("+result +prompt")) - set(plain) == {"result", "prompt"}
    assert set(plain) - set(one("-tags -model")) == {"tags", "modelId"}


@pytest.mark.parametrize(
    ("body", "word"),
    (
        ({"query": {"$where": "1"}}, "$where"),
        ({"query": {"name": {"$regex": "x"}}}, "$regex"),
        ({"query": {"status": {"$gt": "a"}}}, "$gt"),
        ({"query": {"status": "ready"}}, "processing"),
        ({"query": {"secret": 1}}, "secret"),
        ({"query": {}, "select": "id secret"}, "secret"),
        ({"query": {}, "select": "name -tags"}, "select"),
        ({"query": {}, "limit": 201}, "limit"),
        ({}, "query"),
    ),
)
def test_a_document_that_means_nothing_is_refused_by_name(runs: Any, body: dict[str, Any], word: str) -> None:
    refused = runs.ask("POST", "/find", body)
    assert refused.status_code == 400
    assert word in refused.json()["message"]


def test_documents_without_an_end_are_refused(runs: Any) -> None:
    document: dict[str, Any] = {"name": "x"}
    for _ in range(50):
        document = {"$and": [document]}
    of_status: dict[str, Any] = {"$eq": "failed"}
    of_id: dict[str, Any] = {"$eq": "x"}
    for _ in range(50):
        of_status, of_id = {"$not": of_status}, {"$not": of_id}
    for query in (document, {"status": of_status}, {"id": of_id}):
        assert runs.ask("POST", "/find", {"query": query}).status_code == 400


FACETS = [
    {"name": "environments", "field": "environment"},
    {"name": "interactions", "field": "interaction"},
    {"name": "models", "field": "modelId"},
    {"name": "tags", "field": "tags"},
    {"name": "statuses", "field": "status"},
    {"name": "reasons", "field": "finish_reason"},
    {"name": "who", "field": "created_by"},
]


def test_facets_count_what_a_search_finds(runs: Any, searched: Any) -> None:
    counts = runs.result("POST", "/facets", {"facets": FACETS, "query": {"created_by": MINE}})
    assert counts["total"] == len(ALL)
    assert counts["environments"] == [{"_id": "default", "count": 5, "name": "default"}]
    assert [(one["_id"], one["count"]) for one in counts["interactions"]] == [
        ("scribe.py", 3),
        ("broken.py", 1),
        ("plain.py", 1),
    ]
    assert [one["count"] for one in counts["models"]] == [3, 1, 1]
    assert counts["statuses"] == [{"_id": "completed", "count": 4}, {"_id": "failed", "count": 1}]
    assert counts["reasons"] == [{"_id": None, "count": 4}, {"_id": "failed_init", "count": 1}]
    assert counts["who"] == [{"_id": f"user:{MINE}", "count": 5}]
    for bucket in counts["tags"]:
        tags = {} if bucket["_id"] is None else {"tags": [bucket["_id"]]}
        assert bucket["_id"] is None or len(searched(**tags)) == bucket["count"]
    for bucket in counts["statuses"]:
        assert len(searched(status=bucket["_id"])) == bucket["count"]


def test_facets_are_those_of_the_query(runs: Any, found: Any) -> None:
    query = {"created_by": MINE, "status": "failed"}
    counts = runs.result("POST", "/facets", {"facets": FACETS[:2], "query": query})
    assert counts == {
        "environments": [{"_id": "default", "count": 1, "name": "default"}],
        "interactions": [{"_id": "broken.py", "count": 1, "name": "broken.py"}],
        "total": 1,
    }
    metadata = [{"name": "n", "field": "metadata.n"}]
    counts = runs.result("POST", "/facets", {"facets": metadata, "query": {"created_by": MINE}})
    assert counts["n"] == [{"_id": None, "count": 4}, {"_id": "2", "count": 1}]


@pytest.mark.parametrize(
    "facets",
    (
        [],
        [{"name": "total", "field": "status"}],
        [{"name": "a", "field": "status"}, {"name": "a", "field": "tags"}],
        [{"name": "a", "field": "secret"}],
        [{"name": str(number), "field": "status"} for number in range(11)],
    ),
)
def test_facets_that_mean_nothing_are_refused(runs: Any, facets: list[dict[str, str]]) -> None:
    assert runs.ask("POST", "/facets", {"facets": facets}).status_code == 400


def test_values_that_are_not_told_are_mentioned_whatever_the_facet_is_called(runs: Any) -> None:
    for batch in (range(51), range(51, 101)):
        body = {"interaction": "plain.py", "tags": [f"many-{number}" for number in batch]}
        runs.result("POST", "", body, token="dev:AUTHOR:tagger", code=201)
    name = "é\r\nX: 1,"
    facets = [{"name": name, "field": "tags"}, {"name": "status", "field": "status"}]
    answer = runs.ask("POST", "/facets", {"facets": facets, "query": {"created_by": "tagger"}})
    assert answer.headers["X-Facets-Truncated"] == quote(name, safe="")
    assert len(answer.json()[name]) == 100
    options = runs.ask("GET", "/filter-options/tag", created_by="tagger")
    assert (options.headers["X-Facets-Truncated"], len(options.json())) == ("tag", 100)


def test_filter_options_are_values_with_counts(runs: Any, found: Any) -> None:
    def options(field: str, **query: Any) -> list[tuple[str, int]]:
        values = runs.result("GET", f"/filter-options/{field}", created_by=MINE, **query)
        assert all(one["name"] == one["id"] for one in values)
        return [(one["id"], one["count"]) for one in values]

    assert options("environment") == [("default", 5)]
    assert options("status") == [("completed", 4), ("failed", 1)]
    assert options("tag") == options("tags") == [("a", 2), ("b", 1), ("c", 1)]
    assert options("finish_reason") == [("failed_init", 1)]
    assert options("interaction", status="failed") == [("broken.py", 1)]
    assert options("interaction", tag="c", status="completed") == [("plain.py", 1)]
    assert len(options("model")) == 3


def test_options_of_no_field_are_not_there(runs: Any) -> None:
    absent = runs.ask("GET", "/filter-options/secret")
    assert (absent.status_code, absent.json()["error"]) == (404, "UNKNOWN_FIELD")
    assert "environment" in absent.json()["message"]
    assert runs.ask("GET", "/filter-options/status", limit=3).status_code == 400


def test_a_run_that_may_not_be_read_is_neither_found_nor_counted(runs: Any) -> None:
    body = {"interaction": "plain.py", "tags": ["private"]}
    runs.result("POST", "", body, token="dev:PARTICIPANT:ada", code=201)
    for token, count in (("dev:PARTICIPANT:ada", 1), ("dev:PARTICIPANT:bob", 0)):
        assert len(runs.result("GET", "", tag="private", token=token)) == count
        widened = {"query": {"$or": [{"tags": "private"}, {"tags": {"$ne": "private"}}]}}
        found = runs.result("POST", "/find", {**widened, "select": "tags", "limit": 200}, token=token)
        assert sum("private" in one["tags"] for one in found) == count
        facets = [{"name": "tags", "field": "tags"}]
        query = {"tags": ["private"]}
        assert (
            runs.result("POST", "/facets", {"facets": facets, "query": query}, token=token)["total"] == count
        )


def test_a_cluster_lists_its_runs_as_it_has_them(cluster: Any, found: Any) -> None:
    page = cluster.result("GET", "/runs", userId=MINE)
    assert [run["name"] for run in page] == ["asked", "unlucky", "third", "second", "first"]
    assert set(page[0]) == {
        *("id", "name", "userId", "createdAt", "status", "test", "configId", "configVersion", "feedbackScore")
    }
    assert {run["userId"] for run in page} == {MINE}


@pytest.mark.parametrize(
    ("query", "names"),
    (
        ({"metadata": "url:http://a:1"}, ["asked"]),
        ({"metadata": ["url:http://a:1", "n:2"]}, ["asked"]),
        ({"metadata": ["url:http://a:1", "n:3"]}, []),
        ({"metadata": "url:http"}, []),
        ({"metadata": "n:2", "status": "done"}, ["asked"]),
        ({"metadata": "n:2", "status": "failed"}, []),
        ({"status": "failed"}, ["unlucky"]),
    ),
)
def test_runs_of_a_cluster_are_found_by_pairs_whose_values_may_have_colons(
    cluster: Any, found: Any, query: dict[str, Any], names: list[str]
) -> None:
    page = cluster.result("GET", "/runs", userId=MINE, **query)
    assert [run["name"] for run in page] == names


def test_tests_are_hidden_unless_they_are_asked_for(cluster: Any) -> None:
    body = {"modelFile": "plain.py", "name": "trial", "test": {"enabled": True}}
    cluster.result("POST", "/runs", body, token="dev:AUTHOR:tester", code=201)
    assert cluster.result("GET", "/runs", userId="tester") == []
    (trial,) = cluster.result("GET", "/runs", userId="tester", test="true")
    assert (trial["name"], trial["test"]) == ("trial", True)


@pytest.mark.parametrize(
    ("query", "word"),
    (
        ({"limit": 9}, "limit"),
        ({"limit": 51}, "limit"),
        ({"metadata": "nocolon"}, "key:value"),
        ({"metadata": ["a:1", "a:2"]}, "two values"),
        ({"offset": 1}, "offset"),
        ({"status": "completed"}, "pending, running, paused, done, failed"),
        ({"test": "maybe"}, "test"),
    ),
)
def test_a_cluster_refuses_what_means_nothing_by_name(cluster: Any, query: dict[str, Any], word: str) -> None:
    refused = cluster.ask("GET", "/runs", **query)
    assert refused.status_code == 400
    assert word in refused.json()["message"]
