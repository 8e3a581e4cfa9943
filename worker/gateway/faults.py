"""Errors as Epicenter's clients read them: ``{status, message, information: {code, …}}``, always JSON."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import to_json
from starlette.responses import Response

from protocol.errors import ErrorCode, ProtocolError

JSON: Final = "application/json; charset=UTF-8"
RETRY_AFTER_SECONDS: Final = 1

_EPICENTER: Final[Mapping[ErrorCode, tuple[int, str]]] = {
    ErrorCode.RUN_NOT_LIVE: (409, "RUN_NOT_RUNNING"),
    ErrorCode.OPERATION_FAILED: (422, "MODEL_ERROR"),
    ErrorCode.MODEL_LOAD_FAILED: (500, "MODEL_START_FAILURE"),
    ErrorCode.REPLAY_DIVERGED: (500, "RESTORE_FAILED"),
    ErrorCode.CAPACITY: (503, "WORKER_BUSY"),
}
"""Where Epicenter's own name is another than the worker's; all others keep code and status."""


class Fault(Exception):  # noqa: N818 - Epicenter's word for it
    """A request that failed, as it is answered; ``information`` is what stands beside the code."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        information: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.information = dict(information or {})
        self.headers = dict(headers or {})

    @property
    def hides_its_run(self) -> bool:
        """Whether an API that shows nobody what he may not see answers as if the run were not there.

        Who may see it and does what he may not is told so.
        """
        return self.code == ErrorCode.PERMIT_VIOLATION and self.information.get("right", "read") == "read"

    def body(self) -> dict[str, Any]:
        """The fault as it travels."""
        return {
            "status": self.status,
            "message": self.message,
            "information": {**self.information, "code": self.code},
        }

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The answer with this fault."""
        return answer(self.body(), self.status, {**self.headers, **(headers or {})})


def answer(value: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A value as a JSON answer."""
    return Response(to_json(value), status, headers, JSON)


def incomprehensible(message: str, **information: Any) -> Fault:
    """What was sent cannot be read as what is asked for here."""
    return Fault(400, "INCOMPREHENSIBLE_REQUEST", message, information)


def unreadable(error: ValidationError, what: str) -> Fault:
    """The first thing that is wrong with a body or a query, by its place."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or what
    reason = "is not known here" if first["type"] == "extra_forbidden" else first["msg"]
    return incomprehensible(f"{what}: {place}: {reason}", path=place)


def of_worker(error: ProtocolError) -> Fault:
    """The worker's error: Epicenter's code and status, what the worker told, and when to ask again."""
    status, code = _EPICENTER.get(error.code, (error.status, error.code.value))
    information = {to_camel(name): value for name, value in error.information.items()}
    information |= {"retryable": error.retryable, "workerCode": error.code.value}
    return Fault(status, code, error.message, information, _retry_after(error))


def of_run(error: Mapping[str, Any]) -> dict[str, Any]:
    """The fault of one run among many, as it stands in the place of its result."""
    return of_worker(ProtocolError.from_wire(error)).body()


def unreachable(endpoint: str) -> Fault:
    """Nobody answers where the worker should be."""
    return busy("WORKER_UNREACHABLE", f"the worker at {endpoint} does not answer; ask again")


def busy(code: str, message: str) -> Fault:
    """Not now: ask again, unchanged, a little later."""
    return Fault(
        503,
        code,
        message,
        {"retryable": True, "applied": "no"},
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def _retry_after(error: ProtocolError) -> dict[str, str]:
    if not error.retryable:
        return {}
    seconds = error.information.get("retry_after_seconds")
    if not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        seconds = RETRY_AFTER_SECONDS
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
