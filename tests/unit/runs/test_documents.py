"""Documents of operators: what they become, and how they are refused."""

from typing import Any

import pytest

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.runs.checks import OneOf, Ranged, Sized, There, passes
from worker.runs.comparison import Operator
from worker.runs.documents import MAX_BYTES, MAX_LISTED, MAX_NESTING, MAX_NODES, parse_document
from worker.runs.fields import FIELDS
from worker.runs.query import NOTHING, Asked, Every, Not, Some

NAME, TAGS, CREATED = FIELDS["name"], FIELDS["tags"], FIELDS["created_at"]


def refused(document: Any) -> dict[str, Any]:
    with pytest.raises(RequestError) as raised:
        parse_document(document)
    assert raised.value.code is ErrorCode.INVALID_FILTER
    assert raised.value.information["field"] == "filter"
    return raised.value.information


@pytest.mark.parametrize(
    ("document", "node"),
    (
        ({}, Every()),
        ({"name": "a"}, Asked(NAME, OneOf(("a",)))),
        ({"name": None}, Asked(NAME, OneOf((None,)))),
        ({"name": {"$ne": "a"}}, Not(Asked(NAME, OneOf(("a",))))),
        ({"name": {"$nin": ["a", 1]}}, Not(Asked(NAME, OneOf(("a", 1))))),
        ({"name": {"$in": []}}, Asked(NAME, OneOf(()))),
        (
            {"name": {"$gt": "a", "$lte": "b"}},
            Every((Asked(NAME, Ranged(Operator.MORE, "a")), Asked(NAME, Ranged(Operator.AT_MOST, "b")))),
        ),
        ({"name": {"$exists": False}}, Not(Asked(NAME, There()))),
        ({"tags": {"$size": 2}}, Asked(TAGS, Sized(2))),
        ({"tags": {"$all": ["a", "b"]}}, Every((Asked(TAGS, OneOf(("a",))), Asked(TAGS, OneOf(("b",)))))),
        ({"tags": {"$all": []}}, NOTHING),
        ({"name": {"$not": {"$eq": "a"}}}, Not(Asked(NAME, OneOf(("a",))))),
        ({"$nor": [{"name": "a"}]}, Every((Not(Asked(NAME, OneOf(("a",)))),))),
        ({"$or": [{"name": "a"}, {}]}, Some((Asked(NAME, OneOf(("a",))), Every()))),
        ({"created_at": "1970-01-01T00:00:01Z"}, Asked(CREATED, OneOf((1000,)))),
        ({"result.a.0": 2**64 - 1}, Asked(FIELDS["result"], OneOf((float(2**64 - 1),)), ("a", "0"))),
        ({"metadata.x": {"y": 1}}, Asked(FIELDS["metadata"], OneOf(({"y": 1},)), ("x",))),
        ({"_id": "k"}, Asked(FIELDS["run_key"], OneOf(("k",)))),
    ),
)
def test_a_document_becomes_a_tree(document: dict[str, Any], node: Any) -> None:
    assert parse_document(document) == node


@pytest.mark.parametrize(
    ("document", "path", "token"),
    (
        ({"$where": "1"}, "filter.$where", "$where"),
        ({"$or": [{"name": {"$regex": "a"}}]}, "filter.$or[0].name.$regex", "$regex"),
        ({"name": {"$eq": "a", "b": 1}}, "filter.name.b", "b"),
        ({"name": {"$eq": {"a": [{"$gt": 1}]}}}, "filter.name.$eq.a[0].$gt", "$gt"),
        ({"name": {"$in": "a"}}, "filter.name.$in", "str"),
        ({"name": {"$gt": True}}, "filter.name.$gt", "True"),
        ({"name": {"$lt": None}}, "filter.name.$lt", "None"),
        ({"name": {"$lt": [1]}}, "filter.name.$lt", "[1]"),
        ({"name": {"$exists": 1}}, "filter.name.$exists", "1"),
        ({"tags": {"$size": True}}, "filter.tags.$size", "True"),
        ({"tags": {"$size": -1}}, "filter.tags.$size", "-1"),
        ({"name": {"$not": "a"}}, "filter.name.$not", "$not"),
        ({"name": {"$not": {}}}, "filter.name.$not", "$not"),
        ({"$and": []}, "filter.$and", "$and"),
        ({"$and": {"name": "a"}}, "filter.$and", "$and"),
        ({"$or": ["a"]}, "filter.$or[0]", "str"),
        ({"updated_at": 5}, "filter.updated_at", "5"),
        ({"name": "a\0"}, "filter.name", "\\0"),
        ({"words": "a"}, "filter.words", "words"),
        ({"metadata": "a"}, "filter.metadata", "metadata"),
        ({"context.a": 1}, "filter.context.a", "context.a"),
        ({"name.a": 1}, "filter.name.a", "name.a"),
        ({"result.a b": 1}, "filter.result.a b", "result.a b"),
        ({"result.": 1}, "filter.result.", "result."),
        ({f"result.{'a' * 65}": 1}, f"filter.result.{'a' * 65}", f"result.{'a' * 53}…"),
        ({".".join(["result", *"abcdefgh"]): 1}, "filter.result.a.b.c.d.e.f.g.h", "result.a.b.c.d.e.f.g.h"),
    ),
)
def test_what_is_no_document_is_refused_by_place_and_token(document: Any, path: str, token: str) -> None:
    information = refused(document)
    assert (information["path"], information["token"]) == (path, token)


def test_an_unknown_field_is_told_what_it_may_have_meant() -> None:
    assert "did you mean status" in refused({"statuss": 1})["expected"]


def nested(depth: int) -> dict[str, Any]:
    return {"$and": [nested(depth - 1)]} if depth > 1 else {"name": "a"}


def test_bounds_are_what_they_are_said_to_be() -> None:
    parse_document(nested(MAX_NESTING))
    assert refused(nested(MAX_NESTING + 1))["token"] == str(MAX_NESTING + 1)
    parse_document({"name": {"$in": ["a"] * MAX_LISTED}})
    assert refused({"name": {"$in": ["a"] * (MAX_LISTED + 1)}})["token"] == str(MAX_LISTED + 1)
    parse_document({"$or": [{"name": "a"}] * (MAX_NODES - 1)})
    assert refused({"$or": [{"name": "a"}] * MAX_NODES})["token"] == str(MAX_NODES + 1)
    assert refused({"tags": {"$all": ["a"] * (MAX_NODES + 1)}})["token"] == str(MAX_NODES + 1)
    room = MAX_BYTES - len('{"name":""}')
    parse_document({"name": "a" * room})
    assert refused({"name": "a" * (room + 1)})["token"] == f"{MAX_BYTES + 1} bytes"


@pytest.mark.parametrize(
    ("path", "values"),
    (
        ((), 1),
        (("a",), 5),
        (("a", "b"), 0),
        (("l", "b"), 2),
        (("l", "1"), 1),
        (("l", "1", "b"), 1),
        (("l", "01"), 0),
        (("l", "9"), 0),
    ),
)
def test_a_path_goes_through_lists(path: tuple[str, ...], values: int) -> None:
    document = {"a": 5, "l": [{"b": 1}, {"b": 2}, [{"b": 3}], 4]}
    there = passes(There(), document, path)
    assert there is bool(values)


@pytest.mark.parametrize(
    ("check", "value", "does"),
    (
        (OneOf((1,)), 1.0, True),
        (OneOf((1,)), True, False),
        (OneOf((True,)), 1, False),
        (OneOf((None,)), [None], True),
        (OneOf((None,)), [], False),
        (OneOf(([1],)), [1], True),
        (OneOf(([1],)), [[1]], True),
        (OneOf(({"a": 1, "b": 2},)), {"b": 2, "a": 1}, False),
        (Ranged(Operator.MORE, 1), "2", False),
        (Ranged(Operator.MORE, 0), True, False),
        (Ranged(Operator.LESS, "b"), ["c", "a"], True),
        (OneOf((float(2**64 - 1),)), 2**64 - 1, True),
        (Sized(0), [], True),
        (Sized(1), "a", False),
    ),
)
def test_values_are_compared_with_their_like(check: Any, value: Any, does: bool) -> None:
    assert passes(check, value, ()) is does
