"""The one list of errors."""

from typing import Any

import pytest

from protocol.errors import ErrorCode, ProtocolError

STATUSES = {400, 403, 404, 409, 410, 413, 422, 500, 502, 503, 504}


@pytest.mark.parametrize("code", tuple(ErrorCode))
def test_every_code_has_a_status_and_survives_the_wire(code: ErrorCode) -> None:
    assert code.status in STATUSES
    error = ProtocolError(code, "what happened", applied="no")
    again = ProtocolError.from_wire(error.to_wire())
    assert again.to_wire() == error.to_wire()
    assert str(again) == f"{code}: what happened"


def test_what_may_pass_by_itself_is_on_the_server_side() -> None:
    assert all(code.status >= 500 for code in ErrorCode if code.retryable)


def test_information_may_use_any_name() -> None:
    error = ProtocolError(ErrorCode.INTERNAL_ERROR, "m", code=1, message=2, self=3)
    assert ProtocolError.from_wire(error.to_wire()).information == {"code": 1, "message": 2, "self": 3}


@pytest.mark.parametrize(
    "error", ({}, {"code": None}, {"code": "X", "information": [1]}, {"information": "i"})
)
def test_an_error_that_makes_no_sense_still_becomes_one(error: dict[str, Any]) -> None:
    assert ProtocolError.from_wire(error).code is ErrorCode.INTERNAL_ERROR
