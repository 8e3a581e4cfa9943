"""The table in worker/child/encoding.py, row by row."""

import enum
import json
import math
import os
import subprocess
import sys
from collections import Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.channel import unpack
from worker.child.encoding import Encoder
from worker.child.failures import RefusedError

pd = pytest.importorskip("pandas")
ROOT = Path(__file__).parents[3]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


def encoded(value: Any) -> Any:
    encoder = Encoder(100_000)
    result = unpack(encoder.encode(value, "x"))
    assert encoder.warnings == []
    return result


def refusal(value: Any, max_bytes: int = 100_000) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        Encoder(max_bytes).encode(value, "x")
    return caught.value


@given(json_values)
def test_json_values_come_out_as_they_went_in(value: Any) -> None:
    assert encoded(value) == value


@given(json_values)
def test_plain_and_converted_values_have_the_same_bytes(value: Any) -> None:
    encoder = Encoder(100_000)
    assert encoder.pack(encoder.convert(value, "x")) == encoder.encode(value, "x")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(str):
    __slots__ = ()


Point = namedtuple("Point", "x y")  # noqa: PYI024 - the untyped kind is what models use


@dataclass
class Company:
    name: str
    parts: tuple[int, ...]


MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - a naive one is a case of its own


@pytest.mark.parametrize(
    ("value", "expected"),
    (
        (Word("w"), "w"),
        (Level.LOW, 1),
        (Color.RED, "red"),
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (deque([1]), [1]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.items(), [["a", 1]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("ba"), ["a", "b"]),
        ({1.5, 1, "x", None}, [1, "x", None, 1.5]),
        (defaultdict(int, a=1), {"a": 1}),
        (Counter("aa"), {"a": 2}),
        (UserDict(a=1), {"a": 1}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        ({1: "i", 1.5: "f", True + 1: "t", None: "n"}, {"1": "i", "1.5": "f", "2": "t", "null": "n"}),
        ({True: 1, False: 0}, {"true": 1, "false": 0}),
        ({date(2026, 1, 2): 1, Color.RED: 2, Level.LOW: 3}, {"2026-01-02": 1, "red": 2, "1": 3}),
        ({math.inf: 1}, {"inf": 1}),
        (MOMENT, "2026-01-02T03:04:05.000006"),
        (MOMENT.replace(tzinfo=UTC), "2026-01-02T03:04:05.000006+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(1, 2), "01:02:00"),
        (timedelta(minutes=1, milliseconds=5), 60.005),
        (Decimal("0.10"), "0.10"),
        (Fraction(1, 3), "1/3"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a"), "/a"),
        (Company("A", (1,)), {"name": "A", "parts": [1]}),
        (SimpleNamespace(a=Color.RED), {"a": "red"}),
    ),
)
def test_python_values(value: Any, expected: Any) -> None:
    assert encoded(value) == expected


def test_an_ordered_dict_keeps_its_own_order() -> None:
    ordered = OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert list(encoded(ordered)) == ["b", "a"]


@pytest.mark.parametrize(
    ("value", "expected"),
    (
        (np.int64(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("s"), "s"),
        (np.array(5), 5),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([0.5, 1.5]), [0.5, 1.5]),
        (np.array(["a"]), ["a"]),
        (np.array([[Color.RED, None]]), [["red", None]]),
        (np.array([], dtype=float), []),
        (np.ma.masked_array([1, 2], [False, True]), [1, None]),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.array(["2026-01-02", "NaT"], dtype="M8[D]"), ["2026-01-02", None]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), [{"a": 1, "b": 2.5}]),
        ({np.int64(1): 1, np.str_("k"): 2}, {"1": 1, "k": 2}),
        (pd.Series([1.5, 2.5]), [1.5, 2.5]),
        (pd.Series([1, 2], index=["a", "b"]), {"a": 1, "b": 2}),
        (pd.Series([1, 2])[1:], {"1": 2}),
        (pd.Series([1], index=pd.to_datetime(["2026-01-02"])), {"2026-01-02T00:00:00": 1}),
        (pd.Series([1], index=pd.period_range("2026-01", periods=1, freq="M")), {"2026-01": 1}),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), {"a": [1, 2], "b": ["x", None]}),
        (pd.Index(["a"]), ["a"]),
        (pd.Categorical(["a", "b"]), ["a", "b"]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pd.Timestamp("2026-01-02T03:04"), "2026-01-02T03:04:00"),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timedelta("1min"), 60.0),
        (pd.Period("2026-01"), "2026-01"),
    ),
)
def test_numpy_and_pandas_values(value: Any, expected: Any) -> None:
    assert encoded(value) == expected


@pytest.mark.parametrize(
    ("value", "paths"),
    (
        (math.nan, ["x"]),
        ([1.0, {"a": -math.inf}], ["x[1].a"]),
        (np.array([[1.0, math.nan]]), ["x[0][1]"]),
        (np.float32("inf"), ["x"]),
        (Decimal("NaN"), ["x"]),
        (pd.DataFrame({"a": [1.0, math.nan]}), ["x.a[1]"]),
    ),
)
def test_what_is_not_finite_is_null_with_a_warning(value: Any, paths: list[str]) -> None:
    encoder = Encoder(1000)
    assert b"\xc0" in encoder.encode(value, "x")
    assert encoder.drain_warnings() == [{"code": "NON_FINITE", "path": path} for path in paths]
    assert encoder.drain_warnings() == []


def test_warnings_are_bounded() -> None:
    encoder = Encoder(10_000)
    encoder.encode([math.nan] * 500, "x")
    assert len(encoder.warnings) == 100


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path", "kind", "part"),
    (
        ({"a": [1, object()]}, "x.a[1]", "object", "no encoding"),
        (b"x", "x", "bytes", "base64"),
        (1j, "x", "complex", "parts"),
        (np.array([1j]), "x[0]", "complex128", "no encoding"),
        (np.array([b"x"]), "x[0]", "bytes_", "no encoding"),
        ((i for i in "ab"), "x", "generator", "make it a list"),
        (len, "x", "builtin_function_or_method", "no encoding"),
        (Color, "x", "EnumType", "no encoding"),
        ([2**64], "x[0]", "int", "64 bits"),
        (-(2**63) - 1, "x", "int", "64 bits"),
        ("\ud800", "x", "str", "surrogate"),
        ({"\ud800": 1}, "x.\\ud800", "str", "surrogate"),
        ({1: 1, "1": 2}, "x.1", "str", "two keys"),
        ({(1, 2): 1}, "x", "tuple", "no string form"),
        (cycle(), "x[0].again", "list", "contains itself"),
        (nested(65), "x" + "[0]" * 64, "list", "deeper than 64"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "x.a", "str", "two keys"),
    ),
)
def test_what_has_no_encoding_is_named_with_its_path(value: Any, path: str, kind: str, part: str) -> None:
    error = refusal(value)
    assert error.code == "UNENCODABLE_VALUE"
    assert error.information == {"path": path, "type": kind}
    assert part in error.message


def test_sixty_four_levels_are_allowed() -> None:
    assert encoded(nested(64)) == nested(64)


@pytest.mark.parametrize(
    "value",
    (
        "x" * 1001,
        [1] * 1001,
        range(10**15),
        {"a": "x" * 1001},
        {str(number): 1 for number in range(500)},
        {float(number) for number in range(500)},
        np.zeros(1001),
        pd.Series(["x" * 100] * 11),
        ["é" * 600],
        [2**40] * 500,
    ),
)
def test_too_large_values_are_refused_with_both_sizes(value: Any) -> None:
    error = refusal(value, 1000)
    assert error.code == "RESULT_TOO_LARGE"
    assert error.information["allowed"] == 1000
    assert error.information["size"] > 1000


def test_shared_parts_do_not_multiply_the_work() -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    assert refusal(value).code == "RESULT_TOO_LARGE"


class State:
    def __init__(self, level: int) -> None:
        self.level = level


class SubState(State):
    pass


def custom(*registrations: tuple[type, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    encoder = Encoder(1000)
    for kind, function in registrations:
        encoder.register(kind, function)
    return lambda value: unpack(encoder.encode(value, "x"))


def test_a_custom_encoder_wins_by_exact_type_then_by_base() -> None:
    encode = custom(
        (State, lambda state: json.dumps({"level": state.level})), (Decimal, lambda number: f"{number}")
    )
    assert encode([State(1), SubState(2), Decimal("1.5")]) == [{"level": 1}, {"level": 2}, 1.5]


def test_a_custom_encoder_of_object_is_the_last_resort() -> None:
    encode = custom((object, lambda value: json.dumps(type(value).__name__)))
    assert encode([1, "x", Color.RED, State(1)]) == [1, "x", "red", "State"]


def test_a_custom_encoder_of_a_plain_type_is_not_asked_about_its_own_output() -> None:
    encode = custom((dict, lambda value: json.dumps({"wrapped": value})))
    assert encode({"a": {"b": 1}}) == {"wrapped": {"a": {"b": 1}}}


@pytest.mark.parametrize("text", ("{", None, b"1", "[" * 100_000))
def test_a_custom_encoder_must_return_json(text: Any) -> None:
    with pytest.raises(RefusedError) as caught:
        custom((State, lambda _: text))(State(1))
    assert caught.value.code in {"UNENCODABLE_VALUE", "RESULT_TOO_LARGE"}


def test_sets_have_one_order_whatever_the_hashes() -> None:
    program = (
        "from worker.child.encoding import Encoder; from decimal import Decimal\n"
        "print(Encoder(1000).encode([{'a', 'b', 'c', 'd'}, {(1, 'x'), (2, 'y'), None, Decimal(3)}], 'x').hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
