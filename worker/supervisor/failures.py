"""What a run fails of, as its profile tells it."""

from typing import Final

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from worker.errors import WorkerError
from worker.runs.profile import FinishReason, StatusChange

_OF_THE_PROCESS: Final = {
    ErrorCode.BOOT_TIMEOUT: FinishReason.TIMEOUT,
    ErrorCode.OPERATION_TIMEOUT: FinishReason.TIMEOUT,
    ErrorCode.PROCESS_EXITED: FinishReason.WORKER_LOST,
    ErrorCode.LIMIT_EXCEEDED: FinishReason.WORKER_LOST,
    ErrorCode.REPLAY_DIVERGED: FinishReason.REPLAY_DIVERGED,
    ErrorCode.MODEL_LOAD_FAILED: FinishReason.FAILED_INIT,
}


def reason_of(error: WorkerError) -> FinishReason | None:
    """Why a run fails whose process was lost by this error; None where that says nothing of the run."""
    return _OF_THE_PROCESS.get(error.code)


def failure(error: WorkerError, at_us: int) -> StatusChange:
    """The change that a run fails with."""
    data = {name: value for name, value in error.information.items() if name != "traceback"}
    told = {"code": error.code.value, "message": error.message, **({"data": data} if data else {})}
    return StatusChange(
        RunStatus.FAILED, at_us, reason=reason_of(error) or FinishReason.FAILED_INIT, error=told
    )
