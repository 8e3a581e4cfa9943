"""Large results: returned as digests, kept whole, read byte for byte."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

LARGE = """
from epicenter import Epicenter


def text(n):
    return "ä" * (n - 2)


def table(rows):
    return [{"row": number, "words": ["a", None, 1.5, "\\u0001"]} for number in range(rows)]


def peek(n):
    return "p" * n


def fail(n):
    raise ValueError("f" * n)


held = "h" * 20_000
"""
CONTEXT = '{"version": "V2", "operations": {"peek": {"inert": true}}}'


@pytest.fixture(scope="module")
def large(model_root: Any) -> str:
    name: str = model_root.add("large", LARGE, CONTEXT)
    return name


@pytest.fixture(scope="module")
def run_key(peer: Any, large: str) -> str:
    """A run that was started and is ready."""
    return str(peer.result("start_run", model_file=large, wait_seconds=20)["run"]["run_key"])


@pytest.fixture(scope="module")
def call(peer: Any, run_key: str) -> Callable[..., Any]:
    """``call(name, *arguments)``: what the run returns."""
    return lambda name, *arguments, **fields: peer.result(
        "call_operation", run_key=run_key, name=name, arguments=list(arguments), **fields
    )


def whole(peer: Any, run_key: str, seq: int, length: int | None = None) -> bytes:
    """The JSON text of a result, fetched in pieces."""
    text, ranges = b"", {} if length is None else {"length": length}
    while True:
        page = peer.result("read_result", run_key=run_key, seq=seq, offset=len(text), **ranges)
        text += base64.b64decode(page["data"])
        assert page["length"] == len(base64.b64decode(page["data"]))
        if len(text) == page["total_bytes"]:
            assert page["sha256"] == hashlib.sha256(text).hexdigest()
            return text


@pytest.mark.parametrize(("characters", "is_whole"), ((9_999, True), (10_000, True), (10_001, False)))
def test_ten_thousand_characters_are_returned_and_one_more_is_not(
    call: Any, characters: int, is_whole: bool
) -> None:
    result = call("text", characters)

    assert (result == "ä" * (characters - 2)) is is_whole
    if not is_whole:
        assert result["originalResultSize"] == 2 * (characters - 2) + 2
        assert result["summary"] == {"type": "string", "length": 9_999, "head": "ä" * 200, "tail": "ä" * 200}


def test_the_whole_is_fetched_byte_for_byte(peer: Any, run_key: str, call: Any) -> None:
    original = [{"row": number, "words": ["a", None, 1.5, "\x01"]} for number in range(2000)]
    text = json.dumps(original, ensure_ascii=False, separators=(",", ":")).encode()

    result = call("table", 2000)

    assert (result["truncated"], result["originalResultSize"]) == (True, len(text))
    assert result["summary"]["length"] == 2000
    assert result["ref"]["run_key"] == run_key
    for length in (None, 7001):
        assert whole(peer, run_key, result["ref"]["seq"], length) == text
    page = peer.result("read_result", run_key=run_key, seq=result["ref"]["seq"], offset=len(text) + 5)
    assert (page["length"], page["data"], page["total_bytes"]) == (0, "", len(text))


def test_history_has_the_whole_and_a_repetition_the_same_digest(peer: Any, run_key: str, call: Any) -> None:
    first = call("table", 1000, request_id="once")
    again = call("table", 1000, request_id="once")

    assert first == again
    page = peer.result("read_history", run_key=run_key, after_seq=first["ref"]["seq"] - 1, limit=1)
    assert len(page["entries"][0]["outcome"]["result"]) == 1000


def test_each_result_of_a_list_is_digested_for_itself_also_before_an_error(peer: Any, run_key: str) -> None:
    actions = [
        {"kind": "execute", "name": "peek", "arguments": [20_000]},
        {"kind": "execute", "name": "text", "arguments": [20_000]},
        {"kind": "get", "name": "held"},
        {"kind": "execute", "name": "text", "arguments": [12]},
        {"kind": "execute", "name": "text", "arguments": [30_000]},
        {"kind": "execute", "name": "fail", "arguments": [10]},
    ]
    head = peer.result("read_history", run_key=run_key)["head_seq"]

    for _ in range(2):  # performed, and repeated
        error = peer.error("perform_actions", run_key=run_key, actions=actions, request_id="listed")
        completed = error["information"]["completed"]
        told = [one.get("result", one.get("value")) for one in completed]
        assert told[0] == "p" * 20_000  # not recorded, so nothing could give it again
        assert (told[1]["ref"]["seq"], told[4]["ref"]["seq"]) == (head + 1, head + 3)
        assert (told[2], told[3]) == ("h" * 20_000, "ä" * 10)
    assert whole(peer, run_key, head + 3) == json.dumps("ä" * 29_998, ensure_ascii=False).encode()


def test_what_raised_can_be_read_too_and_what_is_no_action_cannot(peer: Any, run_key: str, call: Any) -> None:
    peer.error("call_operation", run_key=run_key, name="fail", arguments=[3])
    head = peer.result("read_history", run_key=run_key)["head_seq"]

    page = peer.result("read_result", run_key=run_key, seq=head)
    assert page["status"] == "error"
    assert json.loads(base64.b64decode(page["data"]))["message"] == "fail raised ValueError: fff"
    for seq in (1, head + 1):
        refused = peer.error("read_result", run_key=run_key, seq=seq)
        assert (refused["code"], refused["information"]["path"]) == ("INVALID_REQUEST", "seq")


def test_from_another_incarnation_it_is_the_same(peer: Any, run_key: str, call: Any) -> None:
    first = call("text", 11_000)
    peer.result("evict_run", run_key=run_key)

    assert call("text", 11_000)["summary"] == first["summary"]
    assert whole(peer, run_key, first["ref"]["seq"]) == json.dumps("ä" * 10_998, ensure_ascii=False).encode()


@pytest.mark.parametrize("how", ("started without", "created"))
def test_who_does_not_want_digests_gets_everything(peer: Any, large: str, how: str) -> None:
    if how == "created":
        run_key = peer.result("create_run", model_file=large)["run_key"]
    else:
        answer = peer.result("start_run", model_file=large, call_summarization=False, wait_seconds=20)
        run_key = answer["run"]["run_key"]

    assert peer.result("call_operation", run_key=run_key, name="text", arguments=[50_000]) == "ä" * 49_998


def test_beyond_the_inline_limit_everything_that_was_started_is_digested(peer: Any, large: str) -> None:
    """Also where nobody wants digests; the limit is of bytes, and a larger result is never refused."""
    limit = peer.result("worker_status")["limits"]["inline_result_bytes"]["allowed"]
    assert limit == 512 * 1024
    answer = peer.result("start_run", model_file=large, call_summarization=False, wait_seconds=20)
    run_key = answer["run"]["run_key"]

    def text(size: int, **fields: Any) -> Any:
        """So many bytes of JSON text, of two for each letter."""
        arguments = [(size - 2) // 2 + 2]
        return peer.result("call_operation", run_key=run_key, name="text", arguments=arguments, **fields)

    assert text(limit) == "ä" * ((limit - 2) // 2)
    for size in (limit + 2, 8 * limit):
        told = text(size, request_id=f"large {size}")
        assert (told["truncated"], told["originalResultSize"]) == (True, size)
        assert whole(peer, run_key, told["ref"]["seq"]) == b'"' + "ä".encode() * ((size - 2) // 2) + b'"'
        assert text(size, request_id=f"large {size}") == told


def test_what_a_process_may_say_at_once_is_another_limit(peer: Any, run_key: str) -> None:
    allowed = peer.result("worker_status")["limits"]["max_result_bytes"]["allowed"]
    error = peer.error("call_operation", run_key=run_key, name="text", arguments=[allowed // 2 + 10])

    assert error["code"] == "RESULT_TOO_LARGE"


def test_the_result_of_a_run_is_whole(peer: Any, large: str) -> None:
    action = {"kind": "execute", "name": "text", "arguments": [20_000]}
    run = peer.result("start_run", model_file=large, actions=[action], wait_seconds=20)["run"]

    assert run["result"] == "ä" * 19_998


@pytest.mark.parametrize(("least", "fits"), ((19_998, True), (19_999, False)))
def test_a_schema_judges_the_whole_and_not_its_digest(peer: Any, large: str, least: int, fits: bool) -> None:
    schema = {"type": "string", "minLength": least}
    action = {"kind": "execute", "name": "text", "arguments": [20_000]}
    run = peer.result("start_run", model_file=large, actions=[action], result_schema=schema, wait_seconds=20)[
        "run"
    ]

    assert run["call_summarization"] is True
    assert (run["result"] == "ä" * 19_998, run["result_errors"] is None) == (fits, fits)
