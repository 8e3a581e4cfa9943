"""Run keys and the digests that tell whether a repeated request is the same."""

from typing import Any

import pytest

from protocol.entities import RUN_KEY
from worker.runs.identity import DIGEST_BYTES, request_digest, run_key

AT_US = 1_593_559_415_557_123  # 2020-06-30T23:23:35.557Z, an example of the reference
REQUEST = {
    "type": "write_variables",
    "version": 1,
    "request_id": "a",
    "run_key": "k",
    "values": {"x": 1, "y": {"u": 1.5, "v": [True, None, "ä"]}},
}


def test_a_key_is_16_digits_of_milliseconds_and_20_of_entropy() -> None:
    key = run_key(AT_US, bytes(range(10)))
    assert key == "00000173078afb05" + "00010203040506070809"
    assert RUN_KEY.fullmatch(key)


def test_keys_sort_by_the_time_of_creation() -> None:
    times = (0, 999_999, 1_000_000, AT_US, AT_US + 1000, 2**52)
    keys = [run_key(at_us, bytes([255 - index] * 10)) for index, at_us in enumerate(times)]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_keys_of_the_same_moment_differ_by_entropy() -> None:
    assert run_key(AT_US, b"a" * 10) != run_key(AT_US, b"b" * 10)


@pytest.mark.parametrize("name", ("version", "request_id", "deadline_seconds", "traceparent"))
def test_how_a_caller_waits_is_not_what_it_asks(name: str) -> None:
    assert request_digest({**REQUEST, name: "other"}) == request_digest(REQUEST)


@pytest.mark.parametrize(
    "other",
    (
        {"type": "call_operation"},
        {"run_key": "K"},
        {"values": {"x": 1}},
        {"values": {"x": "1", "y": REQUEST["values"]}},
        {"values": {"x": 1, "y": {"u": 1.5, "v": [None, True, "ä"]}}},
        {"values": {"x": True, "y": {"u": 1.5, "v": [True, None, "ä"]}}},
        {"values": {"x": 1.0, "y": {"u": 1.5, "v": [True, None, "ä"]}}},
        {"actor": {"world_role": "Sales"}},
        {"ritual": "REVIVE"},
    ),
)
def test_another_intent_has_another_digest(other: dict[str, Any]) -> None:
    assert request_digest({**REQUEST, **other}) != request_digest(REQUEST)


def test_the_order_of_keys_says_nothing() -> None:
    reordered = dict(reversed(REQUEST.items()))
    reordered["values"] = {"y": {"v": [True, None, "ä"], "u": 1.5}, "x": 1}
    assert request_digest(reordered) == request_digest(REQUEST)


def test_a_digest_is_the_same_in_every_process() -> None:
    digest = request_digest(REQUEST)
    assert len(digest) == DIGEST_BYTES
    assert digest.hex() == "83451936ae209fe4cd6db108d6f5e834"


@pytest.mark.parametrize("value", (2**64 - 1, -(2**63), 1e308, "\u0000\U0001f600", "", [], {}))
def test_every_json_value_has_a_digest(value: Any) -> None:
    assert request_digest({"value": value}) != request_digest({"value": [value]})
