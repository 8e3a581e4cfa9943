"""What the steps of a request came to."""

from dataclasses import dataclass, field
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.channel import pack
from worker.runs.guards import GuardViolation
from worker.runs.history import OutcomeStatus

UNRECORDED_ERRORS: Final = frozenset(
    {
        ErrorCode.UNKNOWN_OPERATION,
        ErrorCode.UNKNOWN_VARIABLE,
        ErrorCode.GUARD_VIOLATION,
        ErrorCode.PENDING_APPROVAL,
    }
)
"""Errors found before any model code ran: they leave no trace in the history."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did. ``value``: msgpack of the result or of an error map; ``at_us``: the time it saw.

    ``answers``: what external functions were asked and answered meanwhile, as the channel has it.
    """

    status: OutcomeStatus
    value: bytes
    at_us: int
    records: dict[str, bytes] = field(default_factory=dict)
    warnings: tuple[dict[str, Any], ...] = ()
    error_code: ErrorCode | None = None
    error_type: str = ""
    answers: bytes | None = None

    @classmethod
    def refused(cls, violation: GuardViolation, at_us: int = 0) -> "Outcome":
        """The outcome of a step that a guard does not let through; the process is not asked."""
        code = ErrorCode.GUARD_VIOLATION
        body = {"code": code.value, "message": violation.message, "information": violation.information}
        return cls(OutcomeStatus.ERROR, pack(body), at_us, error_code=code)

    @property
    def size_bytes(self) -> int:
        """What it carries."""
        return len(self.value) + sum(map(len, self.records.values())) + len(self.answers or b"")

    @property
    def recorded(self) -> bool:
        """Whether model code ran, so that the outcome belongs to the history."""
        return self.error_code not in UNRECORDED_ERRORS
