"""What callers are told when a run process, or a write for it, came to grief."""

from typing import Any

from protocol.errors import ErrorCode
from worker.channel import ChannelError, LimitError
from worker.errors import InternalError, LogUnavailableError, ModelError, RunLostError, WorkerError
from worker.process.exits import ExitCause
from worker.runs.stimuli import Step, StepKind


def not_started(reason: str) -> RunLostError:
    """No process could be forked."""
    message = f"no run process could be started: {reason}"
    return RunLostError(ErrorCode.PROCESS_EXITED, message, applied="no")


def timed_out(step: Step) -> ModelError:
    """A step took longer than it may."""
    seconds = step.timeout_seconds
    message = f"took longer than its limit of {seconds:g} s (timeoutSeconds)"
    return _ended(ErrorCode.OPERATION_TIMEOUT, step, message, limit_seconds=seconds)


def out_of_time(step: Step, used: float, allowed: float) -> ModelError:
    """A step took longer than any may, although its own limit is higher."""
    message = f"took longer than any action may ({allowed:g} s, action_wall_seconds)"
    facts = {"limit": "action_wall_seconds", "used": round(used, 3), "allowed": allowed}
    return _ended(ErrorCode.LIMIT_EXCEEDED, step, message, **facts)


def out_of_cpu(step: Step, used: float, allowed: float) -> ModelError:
    """A step used more processor time than one action may."""
    message = (
        f"used {used:.2f} s of processor time, allowed are {allowed:g} s for one action (action_cpu_seconds)"
    )
    facts = {"limit": "action_cpu_seconds", "used": round(used, 3), "allowed": allowed}
    return _ended(ErrorCode.LIMIT_EXCEEDED, step, message, **facts)


def _ended(code: ErrorCode, step: Step, message: str, **facts: Any) -> ModelError:
    what = f"operation {step.name!r}" if step.kind is StepKind.EXECUTE else f"{step.kind} {step.name!r}"
    message = f"{what} {message}; its process was ended, the run's state is what it was before"
    return ModelError(code, message, **facts, applied="no")


def not_told(model_file: str, seconds: float) -> ModelError:
    """A model that loaded did not tell in time what it offers."""
    return ModelError(
        ErrorCode.OPERATION_TIMEOUT,
        f"{model_file} did not tell within {seconds:g} s what it offers; its process was ended",
        limit_seconds=seconds,
        applied="no",
    )


def broke_channel(error: ChannelError) -> RunLostError:
    """The process sent what is no answer, or more than it may, and was killed."""
    if isinstance(error, LimitError):
        used = {} if error.used is None else {"used": error.used}
        return RunLostError(
            ErrorCode.LIMIT_EXCEEDED,
            f"the run sent the worker {error} ({error.limit}); its process was ended, the run's state is what it was "
            "before",
            limit=error.limit,
            **used,
            allowed=error.allowed,
            applied="no",
        )
    return RunLostError(
        ErrorCode.PROCESS_EXITED,
        f"the run process broke its channel to the worker and was ended: {error}",
        reason=str(error),
        applied="no",
    )


def out_of_memory(allowed: int) -> RunLostError:
    """The model ran into its memory limit (bytes), and what it left undone is unknown."""
    return RunLostError(
        ErrorCode.LIMIT_EXCEEDED,
        f"the model needs more memory than a run may have ({allowed} bytes, memory_bytes); its process was ended, "
        "the run's state is what it was before",
        limit="memory_bytes",
        allowed=allowed,
        applied="no",
    )


def ended(cause: ExitCause) -> RunLostError:
    """The process ended before its outcome was recorded."""
    return RunLostError(ErrorCode(cause.code), cause.message, **cause.information, applied="no")


def unrecorded(error: Exception) -> WorkerError:
    """An outcome could not be recorded; its process is ended with it, and only the log knows more.

    Where that was a bug, it is the cause of what is returned.
    """
    if not isinstance(error, WorkerError):
        told = unrecorded(InternalError())
        told.__cause__ = error
        return told
    if isinstance(error, LogUnavailableError):
        return LogUnavailableError(error.message, **{"applied": "unknown", **error.information})
    information = {"applied": "unknown", **error.information}
    return WorkerError(
        ErrorCode.OUTCOME_UNKNOWN,
        f"the outcome could not be recorded ({error.code}: {error.message}); retry with the same request_id",
        **information,
    )
