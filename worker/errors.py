"""The worker's errors, by who is at fault.

    WorkerError(ProtocolError)
    ├─ RequestError     you: the request cannot be served as asked
    ├─ ModelError       the model: it failed to load, raised, or returned what cannot be encoded
    ├─ RunLostError     the process: it ended; information.applied says whether the action took effect
    ├─ LogError         the world: disk or database; FencedError when another host owns the run
    ├─ ReplayError      a replay did not repeat what the log says
    ├─ TooSlowError     a search asks for more than can be looked at in time
    ├─ CapacityError    too much at once; information has limit, used, allowed, retry_after_seconds
    └─ InternalError    a bug; details go to the worker's log, never to a caller

Each carries one ``ErrorCode``; what a caller sees is ``to_wire()``.
"""

from typing import Any, Final

from protocol.errors import ErrorCode, ProtocolError

RETRY_AFTER_SECONDS: Final = 1.0
"""When to try again after CAPACITY: what is at work now is a few operations further then."""


class WorkerError(ProtocolError):
    """Anything that ends a request with an error reply."""


class RequestError(WorkerError):
    """The request cannot be served as asked; nothing happened."""


class ModelError(WorkerError):
    """The model failed; for an operation, the failure is part of the run's history."""


class RunLostError(WorkerError):
    """The run process ended before its action was recorded; the next access restores the run."""


class LogError(WorkerError):
    """The log could not be written or read; nothing that was acknowledged is lost."""


class LogUnavailableError(LogError):
    """Disk or database refuse; may succeed when tried again with the same request_id."""

    def __init__(self, message: str, **information: Any) -> None:
        super().__init__(ErrorCode.LOG_UNAVAILABLE, message, **information)


class FencedError(LogError):
    """The run's epoch or head moved on: another host writes its log. This one must drop the run."""

    def __init__(self, message: str, **information: Any) -> None:
        super().__init__(ErrorCode.FENCED, message, **information)


class DuplicateRequestError(LogError):
    """The request_id is already in the log; the stored outcome must be answered instead."""

    def __init__(self, request_id: str, run_key: str) -> None:
        super().__init__(
            ErrorCode.REQUEST_ID_REUSED,
            f"request_id {request_id!r} was already recorded for run {run_key}",
            request_id=request_id,
            run_key=run_key,
        )


class ReplayError(WorkerError):
    """A replay did not repeat the recorded outcomes, or could not be finished."""


class CapacityError(WorkerError):
    """The worker has no room for this now; nothing happened. ``limit`` names the setting that was reached."""

    def __init__(self, message: str, *, limit: str, used: int, allowed: int) -> None:
        super().__init__(
            ErrorCode.CAPACITY,
            f"{message} ({limit}); try again later",
            retry_after_seconds=RETRY_AFTER_SECONDS,
            limit=limit,
            used=used,
            allowed=allowed,
            applied="no",
        )


class TooSlowError(WorkerError):
    """A search took longer than it may; nothing of what it found is told."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            ErrorCode.QUERY_TIMEOUT,
            f"the search took longer than {seconds:g} seconds; ask for fewer runs: by status, tag, time or metadata",
            limit_seconds=seconds,
        )


class InternalError(WorkerError):
    """A bug in the worker; the message tells the caller only where to look."""

    def __init__(self, message: str = "internal error; the worker's log has the details") -> None:
        super().__init__(ErrorCode.INTERNAL_ERROR, message)
