"""What is told of results that are too large to be told whole."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.channel import pack
from worker.runs.digests import DIGEST_CHARACTERS, SUMMARY_LIMIT, Room, digest, digested, json_text

REF = {"run_key": "r", "seq": 7}
ROOM = Room(1 << 20, SUMMARY_LIMIT)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@pytest.mark.parametrize(("characters", "whole"), ((9_999, True), (10_000, True), (10_001, False)))
def test_the_limit_is_ten_thousand_characters_of_json(characters: int, whole: bool) -> None:
    text = "ä" * (characters - 2)
    array = [1] * ((characters - 1) // 2 - 1) + [11 if characters % 2 == 0 else 1]
    assert (len(json_text(text)), len(json_text(array))) == (characters, characters)

    for value in (text, array):
        assert (digested(value, REF, ROOM) == value) is whole


@pytest.mark.parametrize(("characters", "whole"), ((999, True), (1000, True), (1001, False)))
def test_there_may_be_room_for_so_many_bytes_however_many_characters_they_are(
    characters: int, whole: bool
) -> None:
    value = "ä" * ((characters - 2) // 2) + "x" * (characters % 2)

    assert len(json_text(value).encode()) == characters
    for room in (Room(1000), Room(1000, 2000)):
        assert (digested(value, REF, room) == value) is whole


def test_sizes_are_bytes_of_json_text() -> None:
    value = {"rows": ["äöü" * 10] * 1000}

    told = digested(value, REF, ROOM)

    assert told["originalResultSize"] == len(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    )
    assert told["summarySize"] == len(json_text(told["summary"]).encode())
    assert (told["truncated"], told["ref"]) == (True, REF)


def test_a_digest_tells_of_structure_and_both_ends() -> None:
    table = [{"id": number, "name": f"row {number}"} for number in range(5000)]

    told = digest({"table": table, "note": "n" * 500, "done": True})

    assert told["type"] == "object"
    assert told["members"]["done"] is True
    assert told["members"]["note"]["length"] == 500
    assert told["members"]["table"]["length"] == 5000
    assert told["members"]["table"]["head"][0] == {
        "type": "object",
        "length": 2,
        "members": {"id": 0, "name": "row 0"},
    }
    assert told["members"]["table"]["tail"][-1]["members"]["id"] == 4999


@pytest.mark.parametrize(
    "value",
    (
        {f"{number}" + "k" * 5000: {"x" * 9000: ["y" * 9000] * 50} for number in range(300)},
        [[[["z" * 900] * 90] * 90] * 90],
        "\x00" * 100_000,
        list(range(100_000)),
    ),
)
def test_a_digest_is_short_whatever_it_is_of(value: Any) -> None:
    assert len(json_text(digest(value))) <= DIGEST_CHARACTERS


@given(VALUES)
def test_what_cannot_be_long_is_told_by_its_bytes(value: Any) -> None:
    size = len(pack(value))

    assert not Room(1 << 20, len(json_text(value)) - 1).has_surely(size)
    assert not Room(len(json_text(value).encode()) - 1).has_surely(size)
    assert digest(value) == digest(json.loads(json_text(value)))
