"""What filters mean, and what they are told to be wrong."""

from typing import Any

import pytest

from protocol.errors import ErrorCode
from worker.channel import pack
from worker.errors import RequestError
from worker.runs.comparison import MAX_TEXT, OPAQUE, comparable_of, instant_ms, like
from worker.runs.filters import MAX_CONDITIONS, MAX_NESTING, parse_filter, parse_sort
from worker.runs.query import ATTRIBUTES, Some, SortKey, Subject, holds, sort_runs
from worker.runs.record import RunRecord

TIME_US = 1_780_000_000_123_456
RUN: dict[str, Any] = {
    "run_key": "a" * 36,
    "model_file": "market/model.py",
    "model_language": "PYTHON_3",
    "model_fingerprint": "f",
    "created_us": TIME_US,
    "last_modified_us": TIME_US,
    "seed": 1,
    "scope": {"scope_boundary": "GROUP", "scope_key": "g1", "user_key": "u1"},
    "permit": {"read_lock": "USER", "write_lock": "USER"},
    "address": {"group_name": "class"},
    "tracking_key": "10",
    "marked": True,
    "seq": 7,
}
VALUES: dict[str, Any] = {
    "price": 9.5,
    "step": 3,
    "name": "acme-7",
    "done": False,
    "when": "2026-01-31T12:00:00Z",
    "digits": "10",
    "nothing": None,
    "series": [1, 2],
    "Price[0]": 4,
    "empty": "",
    "odd": 'a;b"c\\',
}


def found(text: str) -> bool:
    def value(name: str) -> Any:
        return comparable_of(pack(VALUES[name])) if name in VALUES else None

    return holds(parse_filter(text), Subject(RunRecord(**RUN), value, value))


def refused(text: str, parse: Any = parse_filter) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(text)
    assert caught.value.code is ErrorCode.INVALID_FILTER
    return caught.value


@pytest.mark.parametrize(
    "text",
    (
        "",
        "  ",
        "var.price=9.5",
        "var.price>9",
        "var.price<1e1",
        "var.step>=3",
        "var.step<=3.0",
        "var.step!=4",
        "var.step|=1|2|3",
        "var.name=acme-7",
        "var.name~=acme*",
        "var.name~=*-7",
        "var.name~=*me*",
        "var.name!~=*8",
        "var.name>acme",
        "var.done=false",
        "var.done!=true",
        "var.when>2026-01-30",
        "var.when=2026-01-31T13:00+01:00",
        "var.digits=10",
        'var.digits="10"',
        "var.series*=true",
        "var.nothing*=false",
        "var.absent*=false",
        "var.absent=null",
        "var.absent!=5",
        "var.absent!~=x*",
        "var.nothing=null",
        "var.price!=null",
        'var."Price[0]"=4',
        'var.empty=""',
        r'var.odd="a;b\"c\\"',
        "var.name|=x|acme-7|3",
        "meta.step=3",
        " var.step = 3 ; meta.name = acme-7 ",
        "run.marked=true",
        "run.seq>6",
        "run.trackingKey=10",
        "run.tracking_key>1",
        "run.userKey=u1",
        "run.userKey*=true",
        "run.scopeBoundary=GROUP",
        "run.groupName=class",
        "run.episodeName=null",
        "run.lastOperated*=false",
        "run.created=2026-05-28T20:26:40.123Z",
        "run.created>=2026-05-28",
        "run.created<=2026-05-28T20:26:40.123Z",
        "run.modelFile~=market/*",
        "[var.step=1;var.step=3]",
        "(var.step=3;var.price>9)",
        "run.seq=7;[var.step=1;(var.step=3;[meta.done=false])]",
    ),
)
def test_a_filter_finds_the_run(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    (
        "var.price=9",
        "var.price=abc",
        "var.price>a",
        "var.name>5",
        "var.name<2026-01-01",
        "var.done=0",
        'var.step="3"',
        'var.done="false"',
        "var.when<2026-01-31T12:00:00Z",
        "var.absent=5",
        "var.absent*=true",
        "var.series=1",
        "var.series~=*",
        "var.step~=3",
        "var.name~=ACME*",
        "var.name~=cme*",
        "var.absent>0",
        "var.step|=1|2",
        "run.created>2026-05-28T20:26:40.123Z",
        "run.created<2026-05-28T20:26:40.123Z",
        "run.marked=false",
        "run.cloned_from*=true",
        "[var.step=1;var.step=2]",
        "(var.step=3;var.price>10)",
        "var.step=3;meta.step=4",
    ),
)
def test_a_filter_does_not_find_the_run(text: str) -> None:
    assert not found(text)


@pytest.mark.parametrize(
    ("text", "position", "token", "expected"),
    (
        ("x", 0, "x", "run."),
        ("var.", 4, "", "a name"),
        ("var.price", 9, "", "one of = !="),
        ("var.price 5", 10, "5", "one of = !="),
        ("var.price=", 10, "", "a value"),
        ("var.price=;", 10, ";", "a value"),
        ("var.a=1;", 8, "", "a condition"),
        ("var.a=1;;var.b=2", 8, ";", "a condition"),
        ("(var.a=1", 8, "", '")" for the "(" at position 0'),
        ("[var.a=1)", 8, ")", '"]" for the "["'),
        ("var.a=1)", 7, ")", "the end of the filter"),
        ("()", 1, ")", "a condition"),
        ("var.a=x(1)", 7, "(", "the end of the filter"),
        ("{var.a=1;var.b=2}", 0, "{", "no known meaning"),
        ('var.a="x', 6, '"x', "a closing quote"),
        (r'var.a="\n"', 6, r'"\n"', "escapes"),
        ('var.""=1', 6, "=1", "a name"),
        ("var.a*=1", 5, "*=1", "true or false"),
        ("var.a>null", 5, ">null", "= or !="),
        ("var.a>true", 5, ">true", "= or !="),
        ("var.a|=1|", 9, "", "a value"),
        ("run.trackinKey=1", 4, "trackinKey=1", "did you mean tracking_key"),
        ("run.zzz=1", 4, "zzz=1", "known: run_key, model_file"),
        ("run.runState=ACTIVE", 4, "runState=ACTIVE", "told with each run"),
        ("run.seq=a", 7, "=a", "a number"),
        ("run.marked=1", 10, "=1", "true or false"),
        ("run.marked>true", 10, ">true", "another operator"),
        ("run.created=soon", 11, "=soon", "ISO-8601"),
        ("run.created~=2026*", 11, "~=2026*", "another operator"),
    ),
)
def test_an_error_tells_position_token_and_what_was_expected(
    text: str, position: int, token: str, expected: str
) -> None:
    error = refused(text)
    assert (error.information["field"], error.information["position"]) == ("filter", position)
    assert error.information["token"] == token
    assert expected in error.information["expected"]
    assert error.information["expected"] in error.message


def test_nesting_and_the_number_of_conditions_are_limited() -> None:
    assert parse_filter("(" * MAX_NESTING + "var.a=1" + ")" * MAX_NESTING) == parse_filter("var.a=1")
    assert "groups" in refused("(" * (MAX_NESTING + 1)).information["expected"]
    listed = parse_filter("var.a|=" + "|".join(["1"] * MAX_CONDITIONS))
    assert isinstance(listed, Some)
    assert len(listed.parts) == MAX_CONDITIONS
    assert str(MAX_CONDITIONS) in refused(";".join(["var.a=1"] * (MAX_CONDITIONS + 1))).message


def test_a_sort_names_attributes_with_their_direction() -> None:
    assert parse_sort("+run.created; -run.trackingKey;run.seq") == (
        SortKey("created"),
        SortKey("tracking_key", descending=True),
        SortKey("seq"),
    )
    assert parse_sort("") == ()


@pytest.mark.parametrize(
    ("text", "position"),
    (("var.x", 0), ("-var.x", 1), ("run.created;", 12), ("run.seq;-run.seq", 9), ("run.seq run.marked", 8)),
)
def test_a_sort_by_anything_else_is_refused(text: str, position: int) -> None:
    error = refused(text, parse_sort)
    assert (error.information["field"], error.information["position"]) == ("sort", position)


def test_every_attribute_is_in_the_run_and_sorts_with_nothing_first() -> None:
    full, bare = RunRecord(**RUN), RunRecord(**(RUN | {"run_key": "b" * 36, "tracking_key": None, "seq": 7}))
    for attribute in ATTRIBUTES.values():
        attribute.read(full)
    assert sort_runs([full, bare], (SortKey("tracking_key"),)) == [bare, full]
    assert sort_runs([bare, full], (SortKey("tracking_key", descending=True),)) == [full, bare]
    assert sort_runs([bare, full], (SortKey("seq", descending=True),)) == [full, bare]


@pytest.mark.parametrize(
    ("value", "counts_as"),
    (
        (2**63 - 1, 2**63 - 1),
        (2**64 - 1, float(2**64)),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
        ("x" * (MAX_TEXT + 1), OPAQUE),
        ("a\0b", OPAQUE),
        ({"a": 1}, OPAQUE),
        (None, None),
    ),
)
def test_what_a_value_counts_as(value: Any, counts_as: Any) -> None:
    assert comparable_of(pack(value)) == counts_as


@pytest.mark.parametrize("packed", (b"", b"\xc1", b"\x01\x02", b"\xa5ab", b"\xd9"))
def test_what_is_no_value_cannot_be_compared(packed: bytes) -> None:
    assert comparable_of(packed) is OPAQUE


@pytest.mark.parametrize(
    ("text", "at_ms"),
    (
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T00:00:00.001999", 1),
        ("1970-01-01T01:00+01:00", 0),
        ("1970-13-01", None),
        ("1970-01-01T25:00", None),
        ("0001-01-01T00:00+23:59", -62135683140000),
        ("19700101", None),
    ),
)
def test_what_text_is_a_time(text: str, at_ms: int | None) -> None:
    assert instant_ms(text) == at_ms


@pytest.mark.parametrize(
    ("value", "pattern", "fits"),
    (
        ("abc", "abc", True),
        ("abc", "*", True),
        ("", "*", True),
        ("aba", "ab*ba", False),
        ("abba", "ab*ba", True),
        ("a[b?", "a[b?", True),
        ("axxbxxc", "a*b*c", True),
        ("acb", "a*b*c", False),
        ("abc", "**c", True),
    ),
)
def test_stars_stand_for_any_characters(value: str, pattern: str, fits: bool) -> None:
    assert like(value, pattern) is fits
