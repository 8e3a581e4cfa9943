"""Whatever arrives is a request or a ProtocolError, and what is a value comes back as it was."""

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import REQUEST_TYPES, decode_reply, decode_request, encode
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import CallOperation, Request
from protocol.values import check_value

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=25,
)
# Things msgpack carries and JSON does not, anywhere in a value.
FOREIGN = st.sampled_from(
    [b"bytes", math.nan, math.inf, -math.inf, msgpack.ExtType(5, b"x"), msgpack.Timestamp(1)]
)
KEY = "0" * 36
CALL = {"version": 1, "type": "call_operation", "request_id": "r", "run_key": KEY, "name": "step"}


@given(st.lists(VALUES, max_size=4))
def test_arguments_come_back_as_they_were(arguments: list[Any]) -> None:
    request = decode_request(encode({**CALL, "arguments": arguments}))
    assert isinstance(request, CallOperation)
    assert request.arguments == arguments
    assert [type(argument) for argument in request.arguments] == [type(argument) for argument in arguments]


@given(VALUES)
def test_a_result_comes_back_as_it_was(result: Any) -> None:
    reply = decode_reply(encode({"version": 1, "request_id": "r", "ok": True, "result": result}))
    assert reply.result == result


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(body: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with pytest.raises(ProtocolError) as caught:
            decode(body)
        assert caught.value.code is ErrorCode.INVALID_REQUEST


@given(st.data())
def test_a_whole_body_with_a_byte_changed_is_a_request_or_a_refusal(data: st.DataObject) -> None:
    body = bytearray(encode({**CALL, "arguments": [1, "two", {"three": [4.0]}], "actor": {"role": "USER"}}))
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    assert isinstance(decoded(bytes(body)), Request | ProtocolError)


def decoded(body: bytes) -> Request | ProtocolError:
    try:
        return decode_request(body)
    except ProtocolError as error:
        return error


FIELDS = sorted({name for cls in REQUEST_TYPES.values() for name in cls.model_fields} | {"surplus"})


@given(
    st.sampled_from(sorted(REQUEST_TYPES)),
    st.dictionaries(st.sampled_from(FIELDS), VALUES | FOREIGN | st.just(KEY), max_size=6),
)
def test_any_map_of_known_fields_is_a_request_or_a_refusal(kind: str, fields: dict[str, Any]) -> None:
    answer = decoded(msgpack.packb({"request_id": "r", **fields, "version": 1, "type": kind}))
    if isinstance(answer, ProtocolError):
        assert answer.code is ErrorCode.INVALID_REQUEST
    else:
        assert isinstance(answer, REQUEST_TYPES[kind])


@given(VALUES, FOREIGN, st.lists(st.integers(0, 3) | TEXT.filter(bool), max_size=5))
def test_a_foreign_value_is_named_by_its_place(beside: Any, foreign: Any, path: list[int | str]) -> None:
    value: Any = foreign
    for step in reversed(path):
        value = [beside] * step + [value] if isinstance(step, int) else {step: value}
    expected = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    with pytest.raises(ProtocolError) as caught:
        check_value(value, "value")
    assert caught.value.information["path"] == f"value{expected}"


SCALARS = (
    st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.booleans()
    | st.none()
    | st.sampled_from([2**64, -(2**63) - 1, 1e400, b"", ["inner"], {"a": 1}])
)


LARGE = 1 << 20
"""Bytes of a message whose values are judged level by level."""


@given(st.lists(SCALARS, max_size=4), st.integers(0, 100))
def test_a_long_list_is_judged_as_its_items_are_one_by_one(odd: list[Any], place: int) -> None:
    def fault(item: Any) -> bool:
        try:
            check_value([item], "")
        except ProtocolError:
            return True
        return False

    values = [1, 2.5] * 50
    values[place:place] = odd
    first = next((index for index, item in enumerate(values) if fault(item)), None)
    if first is None:
        check_value(values, "", size=LARGE)
    else:
        with pytest.raises(ProtocolError) as caught:
            check_value(values, "", size=LARGE)
        assert caught.value.information["path"].startswith(f"[{first}]")


@given(st.lists(st.integers(-(2**66), 2**66), min_size=40, max_size=60))
def test_a_long_list_of_integers_is_bounded_by_64_bits(values: list[int]) -> None:
    if all(-(2**63) <= value < 2**64 for value in values):
        check_value(values, "", size=LARGE)
    else:
        with pytest.raises(ProtocolError):
            check_value(values, "", size=LARGE)


ANYTHING = st.recursive(
    SCALARS | FOREIGN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXT | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=25,
)


@given(ANYTHING, st.integers(0, 66), st.integers(-2, 2))
def test_a_large_value_is_judged_as_a_small_one_is(value: Any, wrapped: int, depth: int) -> None:
    for _ in range(wrapped):
        value = [value]

    def verdict(size: int) -> str:
        try:
            check_value(value, "value", depth=depth, size=size)
        except ProtocolError as error:
            return error.message
        return ""

    assert verdict(LARGE) == verdict(0)


def test_a_value_that_holds_itself_twice_is_judged_at_once() -> None:
    value: list[Any] = []
    value += [value, value]
    with pytest.raises(ProtocolError, match="nested deeper than 64"):
        check_value(value, "", size=LARGE)


def counted(value: Any) -> int:
    """What a value counts besides itself, told another way than the codec does."""
    if isinstance(value, dict):
        return 4 + len(value) + sum(map(counted, value.values()))
    if isinstance(value, list):
        return 4 + len(value) + sum(map(counted, value))
    return 0


EXTRA = st.lists(VALUES, max_size=3)


@given(EXTRA, st.integers(-30, 30), st.sampled_from([[], {}, [1, 2], {"a": 1}, [[]]]))
@settings(max_examples=25, deadline=None)
def test_a_request_has_as_many_values_as_are_allowed_and_no_more(
    extra: list[Any], over: int, unit: Any
) -> None:
    head = {**CALL, "arguments": [*extra, []]}
    left = 250_000 + over - counted(head)
    each = 1 + counted(unit)
    many = [unit] * (left // each) + [0] * (left % each)
    body = encode({**CALL, "arguments": [*extra, many]})
    if over <= 0:
        request = decode_request(body)
        assert isinstance(request, CallOperation)
        assert request.arguments[-1] == many
    else:
        with pytest.raises(ProtocolError) as caught:
            decode_request(body)
        assert caught.value.code is ErrorCode.MESSAGE_TOO_LARGE
        assert caught.value.information["limit"] == "values"
        assert "250000 values" in caught.value.message


@given(
    st.sampled_from([b"\x90", b"\x80", b"\xc0", b"\x01", b"\xa0"]),
    st.integers(1_000_001, 7_000_000),
    st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_megabytes_of_tiny_values_are_refused_by_their_number(unit: bytes, number: int, as_map: bool) -> None:
    first, item = (b"\xdf", b"\xa0" + unit) if as_map else (b"\xdd", unit)
    values = first + number.to_bytes(4, "big") + item * number
    body = encode({**CALL, "arguments": [0]}).replace(b"\xa9arguments\x91\x00", b"\xa9arguments\x91" + values)
    with pytest.raises(ProtocolError) as caught:
        decode_request(body)
    assert caught.value.code is ErrorCode.MESSAGE_TOO_LARGE
    assert caught.value.information["limit"] == "values"
