"""When a request is sent again and what ends it, with the time passed in."""

from typing import Any

import pytest

from protocol import _calls
from protocol._exchange import ClientSettings, Exchange, match
from protocol.codec import decode_request
from protocol.errors import ErrorCode, ProtocolError
from protocol.messages import CallOperation, Reply

SETTINGS = ClientSettings("tcp://worker", timeout_seconds=60, resend_seconds=10)


def exchange(type_: str = "call_operation", **fields: Any) -> Exchange:
    if type_ == "call_operation":
        fields = {"run_key": "0" * 36, "name": "step", **fields}
    return Exchange(_calls.request(type_, **fields), SETTINGS, 0.0)


def refusal(code: ErrorCode, request_id: str | None = "r", **information: Any) -> Reply:
    error = ProtocolError(code, "no", **information).to_wire()
    return Reply(version=1, request_id=request_id, ok=False, error=error)


def test_a_body_is_what_the_worker_decodes() -> None:
    asked = exchange(
        request_id="r", actor={"world_role": "Factory"}, deadline_seconds=5, traceparent="00-1-2-3"
    )
    decoded = decode_request(asked.body)
    assert isinstance(decoded, CallOperation)
    assert (decoded.request_id, decoded.name, decoded.deadline_seconds) == ("r", "step", 5)
    assert decoded.actor is not None
    assert decoded.actor.world_role == "Factory"


def test_ids_that_are_not_given_differ() -> None:
    assert exchange().request_id != exchange().request_id


def test_it_is_due_at_once_and_again_after_resend_seconds() -> None:
    asked = exchange()
    assert asked.is_due(0)
    asked.sent(0.5)
    assert asked.wake_at(0.5) == 10.5
    assert not asked.is_due(10.4)
    assert asked.is_due(10.5)


def test_what_waits_for_the_connection_only_looks_at_the_end() -> None:
    assert exchange().wake_at(3) == 60


def test_a_lost_connection_brings_the_next_sending_forward_by_a_pause_that_doubles() -> None:
    asked = exchange()
    asked.connection_lost(0)
    assert asked.is_due(0)
    pauses = []
    for _ in range(7):
        asked.sent(1)
        asked.connection_lost(1)
        pauses.append(round(asked.wake_at(1) - 1, 6))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_capacity_waits_as_long_as_the_worker_asks_even_when_the_connection_goes() -> None:
    asked = exchange()
    asked.sent(0)
    assert asked.receive(refusal(ErrorCode.CAPACITY, retry_after_seconds=7.5), 1) is None
    asked.connection_lost(2)
    assert asked.wake_at(2) == 8.5


@pytest.mark.parametrize("nonsense", (None, "5", True, float("nan"), float("inf"), -5, [1]))
def test_a_time_to_wait_that_is_no_number_becomes_a_pause(nonsense: Any) -> None:
    asked = exchange()
    asked.sent(0)
    assert asked.receive(refusal(ErrorCode.CAPACITY, retry_after_seconds=nonsense), 1) is None
    assert asked.wake_at(1) == pytest.approx(1.1)


def test_the_last_error_is_raised_at_the_end_if_nothing_was_sent_after_it() -> None:
    asked = exchange()
    asked.sent(0)
    asked.receive(refusal(ErrorCode.LOG_UNAVAILABLE), 1)
    with pytest.raises(ProtocolError, match="LOG_UNAVAILABLE"):
        asked.check(60)


def test_a_sending_after_the_last_error_makes_the_outcome_unknown() -> None:
    asked = exchange(request_id="mine")
    asked.sent(0)
    asked.receive(refusal(ErrorCode.LOG_UNAVAILABLE), 1)
    asked.sent(2)
    asked.check(59.9)
    with pytest.raises(ProtocolError, match="request_id='mine'") as caught:
        asked.check(60)
    assert caught.value.information == {"applied": "unknown", "request_id": "mine", "sent": 2}
    assert caught.value.request_id == "mine"


def test_a_read_that_is_not_answered_did_nothing() -> None:
    asked = exchange("read_variables", run_key="0" * 36, names=["x"])
    asked.sent(0)
    with pytest.raises(ProtocolError, match="no reply") as caught:
        asked.check(60)
    assert caught.value.information["applied"] == "no"


def test_a_type_this_client_does_not_know_may_have_done_something() -> None:
    asked = exchange("of_a_later_worker")
    asked.sent(0)
    with pytest.raises(ProtocolError) as caught:
        asked.check(60)
    assert caught.value.information["applied"] == "unknown"


def test_an_error_of_a_later_worker_is_final_and_named() -> None:
    asked = exchange()
    reply = Reply(
        version=1, request_id="r", ok=False, error={"code": "NEW", "message": "m", "information": 3}
    )
    with pytest.raises(ProtocolError) as caught:
        asked.receive(reply, 1)
    assert caught.value.code is ErrorCode.INTERNAL_ERROR
    assert caught.value.information == {"unknown_code": "NEW"}


def test_a_reply_finds_its_request_by_id_and_a_late_one_finds_none() -> None:
    pending = {"a": exchange(request_id="a"), "b": exchange(request_id="b")}
    assert match(Reply(version=1, request_id="b", ok=True), pending) is pending["b"]
    assert match(Reply(version=1, request_id="gone", ok=True), pending) is None


def test_a_reply_without_an_id_goes_to_the_only_candidate() -> None:
    short, long = exchange(request_id="a"), exchange(request_id="b", arguments=["x" * 50])
    pending = {"a": short, "b": long}
    assert match(refusal(ErrorCode.MESSAGE_TOO_LARGE, None, size=len(long.body)), pending) is long
    assert match(refusal(ErrorCode.INVALID_REQUEST, None), pending) is None
    assert match(refusal(ErrorCode.INVALID_REQUEST, None), {"a": short}) is short


@pytest.mark.parametrize("name", ("timeout_seconds", "resend_seconds"))
def test_a_limit_of_no_time_is_refused(name: str) -> None:
    limits: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match="more than 0"):
        ClientSettings("tcp://worker", **limits)


def test_a_client_may_say_which_errors_it_repeats() -> None:
    settings = ClientSettings("tcp://worker", retried={ErrorCode.FENCED})
    asked = Exchange(_calls.request("ping", request_id="r"), settings, 0.0)
    assert asked.receive(refusal(ErrorCode.FENCED), 1) is None
    with pytest.raises(ProtocolError, match="CAPACITY"):
        asked.receive(refusal(ErrorCode.CAPACITY), 2)
