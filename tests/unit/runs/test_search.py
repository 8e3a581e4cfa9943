"""The fields of a search, its words, what is selected and sorted by."""

from typing import Any

import pytest

from protocol.errors import ErrorCode
from protocol.profiles import Order, SearchQuery
from worker.errors import RequestError
from worker.runs.checks import OneOf, Within
from worker.runs.fields import FIELDS
from worker.runs.query import Asked, Every
from worker.runs.search import MAX_BUCKETS, ProfileSort, facets_of, full_text, search_tree, sort_of
from worker.runs.selection import HIDDEN, SHOWN, parse_selection
from worker.runs.words import BREAK, MAX_LETTERS, MAX_WORDS, line_of, phrase, words_in


def refused(ask: Any, *given: Any) -> dict[str, Any]:
    with pytest.raises(RequestError) as raised:
        ask(*given)
    assert raised.value.code is ErrorCode.INVALID_FILTER
    return raised.value.information


def words(*found: str) -> Asked:
    return Asked(FIELDS["words"], Within(phrase(found)))


@pytest.mark.parametrize(
    ("text", "parts"),
    (
        ("", []),
        ("  Foo  bar ", [words("foo"), words("bar")]),
        ('"Foo  bar"', [words("foo", "bar")]),
        ("foo-bar", [words("foo", "bar")]),
        ('"a OR b"', [words("a", "or", "b")]),
        ("status:ready", [Asked(FIELDS["status"], OneOf(("ready",)))]),
        ('tag:"two words"', [Asked(FIELDS["tags"], OneOf(("two words",)))]),
        ("source.type:api", [Asked(FIELDS["source.type"], OneOf(("api",)))]),
        ("name:MiX", [Asked(FIELDS["name"], Within("mix"))]),
        ("finish_reason:none", [Asked(FIELDS["finish_reason"], OneOf((None,)))]),
        ("metadata.n:5", [Asked(FIELDS["metadata"], OneOf(("5", 5)), ("n",))]),
        ("metadata.a.b:true", [Asked(FIELDS["metadata"], OneOf(("true", True)), ("a.b",))]),
        ("metadata.n:null", [Asked(FIELDS["metadata"], OneOf(("null",)), ("n",))]),
        ("metadata.n:NaN", [Asked(FIELDS["metadata"], OneOf(("NaN",)), ("n",))]),
    ),
)
def test_words_become_conditions(text: str, parts: list[Any]) -> None:
    assert full_text(text) == parts


@pytest.mark.parametrize(
    ("text", "path", "token"),
    (
        ("a OR b", "query.query, position 1", "OR"),
        ("a -b", "query.query, position 1", "-b"),
        ("wild*", "query.query, position 0", "wild*"),
        ("(a)", "query.query, position 0", "(a)"),
        ('a "b', "query.query, position 1", '"b'),
        ('a"b"', "query.query, position 0", 'a"b"'),
        ("colour:red", "query.query, position 0", "colour"),
        ("http://x", "query.query, position 0", "http"),
        ("status:done", "query.query, position 0", "done"),
        ('"--"', "query.query, position 0", "--"),
        (":x", "query.query, position 0", ":x"),
    ),
)
def test_words_that_are_none_are_refused_by_place(text: str, path: str, token: str) -> None:
    information = refused(full_text, text)
    assert (information["field"], information["path"], information["token"]) == ("query", path, token)


def test_words_are_folded_and_spelt_in_ascii() -> None:
    assert words_in("Don't STOP_now, Straße 42") == ["don", "t", "stop", "now", "strasse", "42"]
    (spelt,) = words_in("ÉTÉ")
    assert spelt.isascii()
    assert words_in("été") == [spelt]
    assert words_in("x" * 100) == ["x" * MAX_LETTERS]


def test_a_line_keeps_texts_apart_and_ends() -> None:
    line = line_of(["a b", "c"])
    assert line == f" a b {BREAK} c {BREAK} "
    assert phrase(["b", "c"]) not in line
    assert len(line_of(["word"] * 10_000).split()) == MAX_WORDS


def test_a_search_asks_all_its_fields() -> None:
    query = SearchQuery(tags=["a", "b"], exclude_tags=[], parent=False, finish_reason=["none", "timeout"])
    tags = FIELDS["tags"]
    assert search_tree(query) == Every(
        (
            Asked(FIELDS["finish_reason"], OneOf((None, "timeout"))),
            Asked(tags, OneOf(("a",))),
            Asked(tags, OneOf(("b",))),
            Asked(FIELDS["parent"], OneOf((None,))),
        )
    )
    assert search_tree(SearchQuery()) == Every()


def test_no_field_of_a_search_is_passed_over() -> None:
    """Each field, alone, asks for something; ``test`` is asked beside the tree."""
    given: dict[str, Any] = {
        "name": "a",
        "status": ["ready"],
        "query": "a",
        "parent": False,
        "object": "a",
        "start": "2026-01-01",
        "end": "2026-01-01",
        "run_keys": ["a" * 36],
        "metadata": {"a": "b"},
    }
    for name in set(SearchQuery.model_fields) - {"test"}:
        tree = search_tree(SearchQuery.model_validate({name: given.get(name, ["a"])}, strict=False))
        assert tree != Every(), name


@pytest.mark.parametrize(
    ("text", "names"),
    (
        (None, set(SHOWN)),
        ("", set(SHOWN)),
        ("id status", {"run_key", "status"}),
        ("result", {"run_key", "result"}),
        ("status -id", {"status"}),
        ("-tags -_id", set(SHOWN) - {"tags", "run_key"}),
        ("+result +context", {*SHOWN, "result", "context"}),
        ("+result -id", {*SHOWN, "result"} - {"run_key"}),
        ("modelId execution_time", {"run_key", "model", "execution_seconds"}),
    ),
)
def test_a_selection_names_fields(text: str | None, names: set[str]) -> None:
    selection = parse_selection(text)
    assert selection.names == names
    assert selection.is_large is bool(names & set(HIDDEN))


@pytest.mark.parametrize(
    ("text", "token"),
    (
        ("status -tags", "status -tags"),
        ("+result tags", "+result tags"),
        ("-tags +result", "-tags +result"),
        ("secret", "secret"),
        ("-course", "-course"),
        ("+status", "+status"),
        ("status status", "status"),
        ("id -id", "-id"),
    ),
)
def test_a_selection_that_is_none_is_refused(text: str, token: str) -> None:
    information = refused(parse_selection, text)
    assert (information["field"], information["token"]) == ("select", token)


def test_a_sort_names_fields_once() -> None:
    assert sort_of(None) == (ProfileSort("updated_at"),)
    assert sort_of([Order(field="execution_time", order="asc")]) == (
        ProfileSort("execution_seconds", descending=False),
    )
    assert refused(sort_of, [Order(field="name"), Order(field="name")])["path"] == "sort[1]"


def test_facets_have_names_of_their_own_and_fields_that_are_counted() -> None:
    assert list(facets_of([("a", "modelId"), ("b", "metadata.x")])) == ["a", "b"]
    assert MAX_BUCKETS == 100
    for named, path in (
        ([("total", "status")], "facets[0].name"),
        ([("a", "status"), ("a", "tags")], "facets[1].name"),
        ([("a", "parameters.x")], "facets[0].field"),
        ([("a", "metadata.a.b")], "facets[0].field"),
        ([("a", "metadata")], "facets[0].field"),
    ):
        assert refused(facets_of, named)["path"] == path
