"""Every error that can cross the wire: one list of codes, one exception.

    ProtocolError            what a client raises and what the codec raises; carries one ErrorCode

``ErrorCode`` is the only list. A code fixes its HTTP status and whether the very same request may succeed
when it is sent again (``retryable``); a retry always uses the same ``request_id``.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Self


class ErrorCode(StrEnum):
    """The stable name of what went wrong; ``status`` is the HTTP status an API tier answers with."""

    INVALID_REQUEST = "INVALID_REQUEST"
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    INVALID_CONTEXT = "INVALID_CONTEXT"
    INVALID_FILTER = "INVALID_FILTER"
    REWIND_INVALID = "REWIND_INVALID"
    RITUAL_NOT_ALLOWED = "RITUAL_NOT_ALLOWED"
    INVALID_SCHEMA = "INVALID_SCHEMA"
    ARGUMENTS_INVALID = "ARGUMENTS_INVALID"
    NOT_INTERACTIVE = "NOT_INTERACTIVE"
    GUARD_VIOLATION = "GUARD_VIOLATION"
    PERMIT_VIOLATION = "PERMIT_VIOLATION"
    OPERATION_NOT_ATTACHED = "OPERATION_NOT_ATTACHED"
    APPROVAL_DENIED = "APPROVAL_DENIED"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    CONFIG_NOT_FOUND = "CONFIG_NOT_FOUND"
    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    UNKNOWN_VARIABLE = "UNKNOWN_VARIABLE"
    CALL_NOT_FOUND = "CALL_NOT_FOUND"
    ACTION_NOT_FOUND = "ACTION_NOT_FOUND"
    DELIVERY_NOT_FOUND = "DELIVERY_NOT_FOUND"
    RUN_NOT_LIVE = "RUN_NOT_LIVE"
    RUN_CLOSED = "RUN_CLOSED"
    RUN_EPHEMERAL = "RUN_EPHEMERAL"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    RUN_LIMIT_REACHED = "RUN_LIMIT_REACHED"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    RUN_PAUSED = "RUN_PAUSED"
    ALREADY_DECIDED = "ALREADY_DECIDED"
    UNRECORDED_VARIABLE = "UNRECORDED_VARIABLE"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    OPERATION_FAILED = "OPERATION_FAILED"
    UNENCODABLE_VALUE = "UNENCODABLE_VALUE"
    RESULT_INVALID = "RESULT_INVALID"
    MODEL_LOAD_FAILED = "MODEL_LOAD_FAILED"
    REPLAY_DIVERGED = "REPLAY_DIVERGED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    PROCESS_EXITED = "PROCESS_EXITED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    CAPACITY = "CAPACITY"
    DRAINING = "DRAINING"
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    FENCED = "FENCED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    QUERY_TIMEOUT = "QUERY_TIMEOUT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    OPERATION_TIMEOUT = "OPERATION_TIMEOUT"
    BOOT_TIMEOUT = "BOOT_TIMEOUT"

    @property
    def status(self) -> int:
        """HTTP status that an API tier answers with."""
        return _STATUS[self]

    @property
    def retryable(self) -> bool:
        """Whether the same request, sent again with the same ``request_id``, may succeed."""
        return self in _RETRYABLE


_STATUS_CODES: Final[Mapping[int, tuple[ErrorCode, ...]]] = {
    400: (
        ErrorCode.INVALID_REQUEST,
        ErrorCode.UNSUPPORTED_VERSION,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.INVALID_CONTEXT,
        ErrorCode.INVALID_FILTER,
        ErrorCode.REWIND_INVALID,
        ErrorCode.RITUAL_NOT_ALLOWED,
        ErrorCode.INVALID_SCHEMA,
        ErrorCode.ARGUMENTS_INVALID,
        ErrorCode.NOT_INTERACTIVE,
    ),
    403: (
        ErrorCode.GUARD_VIOLATION,
        ErrorCode.PERMIT_VIOLATION,
        ErrorCode.OPERATION_NOT_ATTACHED,
        ErrorCode.APPROVAL_DENIED,
    ),
    404: (
        ErrorCode.PROJECT_NOT_FOUND,
        ErrorCode.RUN_NOT_FOUND,
        ErrorCode.MODEL_NOT_FOUND,
        ErrorCode.CONFIG_NOT_FOUND,
        ErrorCode.UNKNOWN_OPERATION,
        ErrorCode.UNKNOWN_VARIABLE,
        ErrorCode.CALL_NOT_FOUND,
        ErrorCode.ACTION_NOT_FOUND,
        ErrorCode.DELIVERY_NOT_FOUND,
    ),
    409: (
        ErrorCode.RUN_NOT_LIVE,
        ErrorCode.RUN_CLOSED,
        ErrorCode.RUN_EPHEMERAL,
        ErrorCode.REQUEST_ID_REUSED,
        ErrorCode.RUN_LIMIT_REACHED,
        ErrorCode.PENDING_APPROVAL,
        ErrorCode.RUN_PAUSED,
        ErrorCode.ALREADY_DECIDED,
    ),
    410: (ErrorCode.UNRECORDED_VARIABLE,),
    413: (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RESULT_TOO_LARGE),
    422: (
        ErrorCode.OPERATION_FAILED,
        ErrorCode.UNENCODABLE_VALUE,
        ErrorCode.RESULT_INVALID,
        ErrorCode.MODEL_LOAD_FAILED,
    ),
    500: (ErrorCode.REPLAY_DIVERGED, ErrorCode.INTERNAL_ERROR),
    502: (ErrorCode.PROCESS_EXITED, ErrorCode.LIMIT_EXCEEDED),
    503: (
        ErrorCode.CAPACITY,
        ErrorCode.DRAINING,
        ErrorCode.LOG_UNAVAILABLE,
        ErrorCode.FENCED,
        ErrorCode.OUTCOME_UNKNOWN,
        ErrorCode.QUERY_TIMEOUT,
    ),
    504: (ErrorCode.DEADLINE_EXCEEDED, ErrorCode.OPERATION_TIMEOUT, ErrorCode.BOOT_TIMEOUT),
}
_STATUS: Final[Mapping[ErrorCode, int]] = {
    code: status for status, codes in _STATUS_CODES.items() for code in codes
}
_RETRYABLE: Final = frozenset(
    {
        ErrorCode.CAPACITY,
        ErrorCode.DRAINING,
        ErrorCode.LOG_UNAVAILABLE,
        ErrorCode.FENCED,
        ErrorCode.OUTCOME_UNKNOWN,
        ErrorCode.QUERY_TIMEOUT,
        ErrorCode.DEADLINE_EXCEEDED,
        ErrorCode.PROCESS_EXITED,
        ErrorCode.BOOT_TIMEOUT,
    }
)


class ProtocolError(Exception):
    """A request that failed, as it stands in the reply's ``error``.

    ``information`` is a map of JSON values that depends on the code; ``applied`` in it ("no" | "unknown")
    says whether a state-changing request may have taken effect.
    """

    def __init__(self, code: ErrorCode, message: str, /, **information: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.information: dict[str, Any] = information
        self.request_id: str | None = None

    def __str__(self) -> str:
        """The code and the message, as a person reads it."""
        return f"{self.code}: {self.message}"

    @property
    def status(self) -> int:
        """HTTP status of the code."""
        return self.code.status

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed when sent again with the same ``request_id``."""
        return self.code.retryable

    def to_wire(self) -> dict[str, Any]:
        """The map that stands in a reply as ``error``."""
        return {
            "code": str(self.code),
            "status": self.status,
            "message": self.message,
            "retryable": self.retryable,
            "information": self.information,
        }

    @classmethod
    def from_wire(cls, error: Mapping[str, Any]) -> Self:
        """Rebuild from a reply. A code this client does not know becomes INTERNAL_ERROR and is named."""
        given = error.get("information")
        information = dict(given) if isinstance(given, Mapping) else {}
        try:
            code = ErrorCode(str(error.get("code")))
        except ValueError:
            code = ErrorCode.INTERNAL_ERROR
            information["unknown_code"] = error.get("code")
        failure = cls(code, str(error.get("message", "")))
        failure.information = information
        return failure
