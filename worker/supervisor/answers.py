"""Outcomes: judged when a run process reports them, turned into entries and into replies.

A run process is untrusted. Whatever is not exactly an outcome raises ``ChannelError``, which ends it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgpack

from protocol.errors import ErrorCode, ProtocolError
from protocol.values import check_value
from worker.channel import (
    LARGE_BYTES,
    MAX_DEPTH,
    MAX_RECORDS,
    RECORD_NAME_CHARACTERS,
    RECORDED_SHARE,
    Allowance,
    ChannelError,
    LimitError,
    may_exceed,
    outcome_digest,
    pack,
    unpack,
)
from worker.errors import ModelError, RequestError, WorkerError
from worker.log.base import StoredRequest
from worker.process.limits import Limits
from worker.runs.history import LogEntry, OutcomeStatus
from worker.runs.outcomes import UNRECORDED_ERRORS, Outcome
from worker.runs.stimuli import StepKind, Work

MODEL_ERRORS: Final = frozenset(
    {
        ErrorCode.OPERATION_FAILED,
        ErrorCode.UNENCODABLE_VALUE,
        ErrorCode.RESULT_TOO_LARGE,
        ErrorCode.UNKNOWN_OPERATION,
        ErrorCode.UNKNOWN_VARIABLE,
        ErrorCode.PENDING_APPROVAL,
    }
)
ANSWERED_ERRORS: Final = MODEL_ERRORS | {ErrorCode.GUARD_VIOLATION, ErrorCode.APPROVAL_DENIED}
"""What an outcome may be; a guard's refusal and a denial are the worker's, no process may claim them."""
MAX_WARNINGS: Final = 100
MAX_ERROR_BYTES: Final = 64 * 1024


Shown = Callable[[int, int, Any], Any]
"""What is returned of a result, by its place among the outcomes and its bytes of msgpack."""


def as_it_is(_index: int, _size_bytes: int, result: Any) -> Any:
    """All of it."""
    return result


def judge_outcome(
    status: Any,
    value: Any,
    records: Any,
    warnings: Any,
    *,
    at_us: int,
    limits: Limits,
    carried: bool = False,
    answers: bytes | None = None,
) -> Outcome:
    """An outcome as a run process reports it.

    ``carried``: whether the result is a map of values, each of which may be as deep as the limits say. ``answers``
    are those of external functions that it was given.
    """
    if not isinstance(value, bytes):
        raise ChannelError("an outcome's value must be bytes")
    judged_records = judge_records(records, limits)
    judged_warnings = tuple(judge_warnings(warnings))
    if status == OutcomeStatus.COMPLETED:
        if len(value) > limits.max_result_bytes:
            raise ChannelError(f"a result of {len(value)} bytes, allowed {limits.max_result_bytes}")
        result = unpack(value, _allowance(len(value), limits.max_result_values))
        judge_value(result, len(value), depth=max(MAX_DEPTH - limits.max_result_depth - carried, 0))
        return Outcome(
            OutcomeStatus.COMPLETED, value, at_us, judged_records, judged_warnings, answers=answers
        )
    if status != OutcomeStatus.ERROR or len(value) > MAX_ERROR_BYTES:
        raise ChannelError("an outcome must be completed, or a short error")
    error = judge_error(unpack(value), MODEL_ERRORS)
    return Outcome(
        OutcomeStatus.ERROR,
        value,
        at_us,
        judged_records,
        judged_warnings,
        error_code=error.code,
        error_type=str(error.information.get("type", "")),
        answers=answers,
    )


def _allowance(size: int, values: int) -> Allowance | None:
    """For reading so many bytes, None where these cannot hold more values than are allowed."""
    return Allowance(values) if may_exceed(size, values) else None


def judge_error(error: Any, allowed: Collection[ErrorCode]) -> WorkerError:
    """An error map as a run process reports it, as the exception a caller gets."""
    match error:
        case {"code": str(code), "message": str(message), "information": dict(information)} if (
            code in allowed
        ):
            judge_value(information)
        case _:
            raise ChannelError("an error must have code, message and information")
    kind = RequestError if code in (*UNRECORDED_ERRORS, ErrorCode.APPROVAL_DENIED) else ModelError
    return kind(ErrorCode(code), message, **information)


def judge_records(records: Any, limits: Limits) -> dict[str, bytes]:
    """Recorded variables: names to msgpack bytes of JSON values."""
    if not isinstance(records, dict) or len(records) > MAX_RECORDS:
        raise ChannelError("records must be a map of a bounded size")
    size = sum(len(value) for value in records.values() if isinstance(value, bytes))
    if size > limits.record_bytes:
        raise LimitError(
            f"records of {size} bytes together", limit="record_bytes", used=size, allowed=limits.record_bytes
        )
    allowance = _allowance(size, RECORDED_SHARE * limits.max_result_values)
    for name, value in records.items():
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise ChannelError("a record must be a name and bytes")
        if not 0 < len(name) <= RECORD_NAME_CHARACTERS:
            raise ChannelError(f"the name of a record must have 1 to {RECORD_NAME_CHARACTERS} characters")
        judge_value(unpack(value, allowance), len(value))
    return records


def judge_warnings(warnings: Any) -> list[dict[str, Any]]:
    """Warnings: maps of short strings."""
    if not isinstance(warnings, list) or len(warnings) > MAX_WARNINGS:
        raise ChannelError("warnings must be a list of a bounded size")
    for warning in warnings:
        if not isinstance(warning, dict):
            raise ChannelError("a warning must be a map")
        judge_value(warning)
    return warnings


def judge_value(value: Any, size: int = 0, *, depth: int = 0) -> None:
    """Refuse what is no JSON value; ``size``: in bytes, where it is known; ``depth``: that it begins at."""
    try:
        check_value(value, "", depth=depth, size=size)
    except ProtocolError as error:
        raise ChannelError(f"no JSON value: {error.message}"[:300]) from error


def entries_of(work: Work, head_seq: int, epoch: int) -> tuple[LogEntry, ...]:
    """The entries that record what ``work`` did, behind ``head_seq``."""
    entries: list[LogEntry] = []
    for index, (step, outcome) in enumerate(zip(work.steps, work.outcomes, strict=False)):
        if step.recorded and outcome.recorded:
            entries.append(
                LogEntry(
                    seq=head_seq + len(entries) + 1,
                    epoch=epoch,
                    kind=step.entry_kind,
                    at_us=outcome.at_us,
                    action=step.action,
                    actor=work.actor_of(step),
                    status=outcome.status,
                    outcome=outcome.value,
                    digest=outcome_digest(
                        outcome.status.value, outcome.value, str(outcome.error_code or ""), outcome.error_type
                    ),
                    request_id=work.request_id,
                    batch=index,
                    answers=outcome.answers,
                )
            )
    return tuple(entries)


def stored_request(work: Work, run_key: str, entries: Sequence[LogEntry]) -> StoredRequest:
    """The request that ``entries`` answer, or its outcomes where these alone do not."""
    return StoredRequest(
        request_id=work.request_id,
        run_key=run_key,
        digest=work.digest,
        first_seq=entries[0].seq,
        last_seq=entries[-1].seq,
        result=None if len(entries) == len(work.outcomes) else pack_outcomes(work),
    )


def pack_outcomes(work: Work) -> bytes:
    """The outcomes of ``work`` as they are stored where its entries alone do not tell the answer."""
    return pack({"outcomes": [list(item) for item in outcomes_of(work)]})


def outcomes_of(work: Work) -> list[tuple[str, bytes, bytes]]:
    """``(status, action, outcome)`` of every step that was performed, in order; looks are no steps of it."""
    return [
        (outcome.status.value, step.action, outcome.value)
        for step, outcome in zip(work.steps, work.outcomes, strict=False)
        if not step.is_look
    ]


def action_results(
    outcomes: Iterable[tuple[str, bytes, bytes]], *, single: bool = False, shown: Shown = as_it_is
) -> list[dict[str, Any]]:
    """The results of actions, in order, as ``perform_actions`` answers them; ``shown``: what operations returned.

    Raises:
        WorkerError: the first error among them; unless the request was a ``single`` action, its
            ``information`` tells ``index`` and the results ``completed`` before it.
    """
    results: list[dict[str, Any]] = []
    for status, action, value in outcomes:
        body = msgpack.unpackb(action, raw=False) if action else {"kind": StepKind.READ.value, "name": ""}
        if status == OutcomeStatus.ERROR:
            error = judge_error(_stored(value), ANSWERED_ERRORS)
            if not single:
                error.information.update(index=len(results), completed=results)
            raise error
        told, is_result = _stored(value), body["kind"] == StepKind.EXECUTE
        if is_result:
            told = shown(len(results), len(value), told)
        key = "result" if is_result else "value"
        results.append({"kind": body["kind"], "name": body["name"], key: told})
    return results


def _stored(value: bytes) -> Any:
    """A value that was judged when it was recorded, by whatever limits there were then."""
    return unpack(value, Allowance.for_all_of(len(value)) if len(value) > LARGE_BYTES else None)
