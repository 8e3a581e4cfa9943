"""What is refused, with which code and which place named."""

from typing import Any

import msgpack
import pytest

from protocol.actions import Execute, Get, Set, encode_action
from protocol.codec import REQUEST_TYPES, decode_reply, decode_request, encode
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import CallOperation, PerformActions
from protocol.values import MAX_DEPTH, MAX_PATH

KEY = "0" * 36
CALL: dict[str, Any] = {
    "version": 1,
    "type": "call_operation",
    "request_id": "r1",
    "run_key": KEY,
    "name": "step",
}


def refused(message: Any, **limits: int) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode_request(message if isinstance(message, bytes) else msgpack.packb(message), **limits)
    return caught.value


def perform(*actions: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "type": "perform_actions",
        "request_id": "r1",
        "run_key": KEY,
        "actions": list(actions),
    }


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_request_becomes_the_class_of_its_type() -> None:
    request = decode_request(msgpack.packb({**CALL, "arguments": [1, None, {"a": 2.5}], "ritual": "REVIVE"}))
    assert isinstance(request, CallOperation)
    assert request.arguments == [1, None, {"a": 2.5}]
    assert request.ritual == "REVIVE"
    assert request.request_id == "r1"


@pytest.mark.parametrize(
    ("message", "path", "reason"),
    (
        ({**CALL, "run_key": "short"}, "run_key", "should match"),
        ({**CALL, "run_key": KEY + "\n"}, "run_key", "should match"),
        ({**CALL, "surplus": 1}, "surplus", "unknown field"),
        ({**CALL, "ritual": "EXILE"}, "ritual", "should be"),
        ({**CALL, "arguments": {"a": 1}}, "arguments", "list"),
        ({**CALL, "arguments": [1, {"a": b"x"}]}, "arguments[1].a", "bytes is not a JSON value"),
        ({**CALL, "arguments": [float("nan")]}, "arguments[0]", "finite"),
        ({**CALL, "arguments": [{"a": {1: 2}}]}, "arguments[0].a", "a map key must be a string"),
        ({**CALL, "actor": {"type": 1}}, "actor.type", "unknown field"),
        ({**CALL, "run_keys": [KEY]}, "", "exactly one of run_key and run_keys must be given (in"),
        ({**CALL, "run_key": None, "run_keys": [KEY, KEY]}, "", "names a run twice"),
        ({**CALL, "deadline_seconds": True}, "deadline_seconds", "number"),
        ({**CALL, "deadline_seconds": 0}, "deadline_seconds", "greater than 0"),
        (perform({"kind": "set", "name": "a"}), "actions[0].value", "required"),
        (perform({"kind": "get", "name": "a", "value": 1}), "actions[0].value", "unknown field"),
        (perform({"kind": "jump", "name": "a"}), "actions[0]", "'jump'"),
        (perform({"kind": "set", "name": "a", "value": {"b": [b""]}}), "actions[0].value.b[0]", "bytes"),
        (perform({"kind": "get", "name": "a"}, 7), "actions[1]", "must be a map"),
        (perform({"kind": "get", "name": "a", 5: 1}), "actions[0]", "key must be a string"),
        ({**CALL, "type": "write_variables", "values": {"": 1}}, "values", "at least 1 character"),
        (dict([*CALL.items(), (7, 1)]), "", "a map key must be a string, not int 7"),
        ({**CALL, "type": 5}, "type", "must be a string"),
        ({**CALL, "version": None}, "version", "missing"),
    ),
)
def test_a_refusal_names_the_place_as_the_caller_wrote_it(message: Any, path: str, reason: str) -> None:
    if message["type"] == "write_variables":
        del message["name"]
    error = refused(message)
    assert (error.code, error.information["path"]) == (ErrorCode.INVALID_REQUEST, path)
    assert reason in error.message
    assert error.message.startswith(f"{path or 'the request'}: ")
    assert "Value error" not in error.message
    assert error.request_id == "r1"


def test_a_variable_may_be_named_like_a_request_type() -> None:
    message = {"version": 1, "type": "write_variables", "request_id": "r1", "run_key": KEY}
    error = refused({**message, "values": {"write_variables": float("inf")}})
    assert error.information["path"] == "values.write_variables"


@pytest.mark.parametrize(
    "body", (b"", b"\xc1", b"\x81", b"\x80\x80", b"\x90", b"\x01", b"\x81\xa1\xff\x01", b"\x91" * 5000)
)
def test_what_is_no_map_is_refused_in_a_sentence(body: bytes) -> None:
    error = refused(body)
    assert (error.code, error.request_id) == (ErrorCode.INVALID_REQUEST, None)
    assert not error.message.endswith(": ")


@pytest.mark.parametrize("version", (0, 2, True, 1.0, "1"))
def test_another_version_is_told_the_one_that_is_spoken(version: Any) -> None:
    error = refused({**CALL, "version": version})
    assert (error.code, error.information) == (ErrorCode.UNSUPPORTED_VERSION, {"supported": [1]})


def test_an_unknown_type_is_told_the_known_ones() -> None:
    error = refused({**CALL, "type": "fly"})
    assert error.code is ErrorCode.UNKNOWN_TYPE
    assert error.information == {"known": sorted(REQUEST_TYPES)}


@pytest.mark.parametrize("request_id", ("", "x" * 65, 5, None))
def test_an_id_that_is_none_is_refused_and_not_repeated(request_id: Any) -> None:
    error = refused({**CALL, "request_id": request_id})
    assert (error.information["path"], error.request_id) == ("request_id", None)


def test_a_body_over_the_limit_is_refused_unread() -> None:
    error = refused({**CALL, "arguments": ["x" * 100]}, max_bytes=100)
    assert error.code is ErrorCode.MESSAGE_TOO_LARGE
    assert error.information["allowed"] == 100
    assert error.information["size"] > 100
    assert error.request_id is None


@pytest.mark.parametrize(
    "carry",
    (
        lambda value: {**CALL, "arguments": [value]},
        lambda value: perform({"kind": "set", "name": "a", "value": value}),
        lambda value: perform({"kind": "execute", "name": "a", "arguments": [0, value]}),
        lambda value: {**perform(), "type": "write_variables", "values": {"a": value}},
        lambda value: {**perform(), "type": "update_metadata", "push": {"a": value}},
        lambda value: {
            **perform(),
            "type": "update_metadata",
            "pop": {"a": {"object_type": "all", "value": value}},
        },
        lambda value: {
            "version": 1,
            "type": "create_run",
            "request_id": "r1",
            "model_file": "m",
            "metadata": {"a": value},
        },
    ),
)
def test_depth_counts_from_the_value_itself(carry: Any) -> None:
    def message(depth: int) -> dict[str, Any]:
        carried: dict[str, Any] = carry(nested(depth))
        if carried["type"] != "perform_actions":
            carried.pop("actions", None)
        return carried

    assert decode_request(msgpack.packb(message(MAX_DEPTH))).request_id == "r1"
    assert "nested deeper than 64" in refused(message(MAX_DEPTH + 1)).message


def test_a_path_of_long_keys_is_cut() -> None:
    error = refused({**CALL, "arguments": [{"k" * 10_000: b""}]})
    assert len(error.information["path"]) == MAX_PATH + 1
    assert len(error.message) < MAX_PATH + 100


@pytest.mark.parametrize("number", (-(2**63), 2**64 - 1))
def test_integers_of_64_bits_pass(number: int) -> None:
    request = decode_request(encode({**CALL, "arguments": [number]}))
    assert isinstance(request, CallOperation)
    assert request.arguments == [number]


@pytest.mark.parametrize(
    ("value", "reason"),
    ((2**64, "64 bits"), (object(), "object is not"), (nested(5000), "nested deeper"), ("\ud800", "encoded")),
)
def test_what_cannot_be_encoded_is_named(value: Any, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as caught:
        encode({**CALL, "arguments": [value]})
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_a_reply_of_a_later_worker_is_read_and_its_new_keys_ignored() -> None:
    body = encode({"version": 1, "request_id": "r", "ok": True, "result": 1, "new": 2})
    assert decode_reply(body).result == 1


@pytest.mark.parametrize("body", (b"", b"\xc0", b"\x80", msgpack.packb({"version": 1, "ok": True})))
def test_what_is_no_reply_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_reply(body)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_an_action_has_one_canonical_form() -> None:
    decoded = decode_request(
        msgpack.packb(perform({"value": 1, "name": "x", "kind": "set"}, {"name": "f", "kind": "execute"}))
    )
    assert isinstance(decoded, PerformActions)
    assert [encode_action(action) for action in decoded.actions] == [
        encode_action(Set(name="x", value=1)),
        encode_action(Execute(name="f")),
    ]
    assert msgpack.unpackb(encode_action(Get(name="x"))) == {"kind": "get", "name": "x"}
