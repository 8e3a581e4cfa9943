"""Outcomes judged before a run is told of them: who asks for approval, what does not fit a schema, a run's result.

What a schema says is found out elsewhere and takes its time; meanwhile the process waits, which has done its step.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

from protocol.errors import ErrorCode
from worker.channel import ChannelError, LimitError, pack, unpack
from worker.clock import now_us
from worker.errors import ModelError, WorkerError
from worker.runs.history import OutcomeStatus
from worker.runs.outcomes import Outcome
from worker.runs.results import JSON_ERROR, VALIDATION_ERROR, Verdict, turned, verdict_of
from worker.runs.rules import RunRules
from worker.runs.stimuli import Step, StepKind, Work
from worker.supervisor.answers import MODEL_ERRORS, judge_error
from worker.supervisor.holding import pending_error, pending_of
from worker.supervisor.incarnation import Incarnation
from worker.supervisor.schemas import Errors, Schemas, first_of

NOT_JSON: Final = "NOT_JSON"
"""The warning that a result holds what JSON has not."""
_NO_JSON: Final[Errors] = [
    {"path": "", "error": "the value holds what JSON has not: a set, or a number that is not finite"}
]

MAX_OUTCOME_BYTES: Final = 64 * 1024 * 1024
"""What the actions of one request return and record together, which is kept until all are done; a single one may be as
large as its own limits say."""

Start = Callable[[Coroutine[Any, Any, None]], object]
Warned = Mapping[str, Any]
Performed = Callable[[Work | None, Outcome], None]


class Verdicts:
    """The verdicts of one incarnation; ``performed`` is told of each outcome once it is judged.

    ``start`` has a judgement go on beside everything else.
    """

    def __init__(
        self, incarnation: Incarnation, schemas: Schemas, start: Start, performed: Performed
    ) -> None:
        self._incarnation = incarnation
        self._schemas = schemas
        self._start = start
        self._performed = performed

    def hear(self, work: Work | None, step: Step, outcome: Outcome, head_seq: int) -> None:
        """Judge what became of a step of ``work``, behind ``head_seq``.

        Raises:
            ChannelError: the process asks for approval where nothing can be asked, or the actions of one request
                returned and recorded too much.
        """
        if work is not None:
            _count(work, outcome)
        if work is not None and outcome.error_code is ErrorCode.PENDING_APPROVAL:
            self._ask(work, step, outcome, head_seq)
        elif work is not None and self._takes_time(step, outcome):
            self._start(self._judge(work, step, outcome))
            return
        self._performed(work, outcome)

    def _ask(self, work: Work, step: Step, outcome: Outcome, head_seq: int) -> None:
        """Its work waits, and what it did is taken back."""
        place = work.place
        if step.kind is not StepKind.EXECUTE or not step.recorded or place in work.approvals:
            raise ChannelError("an approval where none can be asked for")
        told = judge_error(unpack(outcome.value), MODEL_ERRORS)
        context = self._incarnation.context
        roles = context.approvers(step.name) or context.deciders
        action_id = str(head_seq + work.recorded_steps + 1)
        reason = str(told.information.get("reason") or "") or None
        work.pending = pending_of(work, place, action_id, roles, reason)
        work.taken_back = pending_error(work.pending)

    def _takes_time(self, step: Step, outcome: Outcome) -> bool:
        if step.is_result and (
            outcome.status is OutcomeStatus.COMPLETED or outcome.error_code is ErrorCode.UNENCODABLE_VALUE
        ):
            return True
        return step.result_schema is not None and outcome.status is OutcomeStatus.COMPLETED

    async def _judge(self, work: Work, step: Step, outcome: Outcome) -> None:
        await self._give(work, step, outcome)
        self._performed(work, outcome)

    async def _give(self, work: Work, step: Step, outcome: Outcome) -> None:
        """Have its work taken back, or what it does to the run's result become durable with it."""
        if step.result_schema is not None and outcome.status is OutcomeStatus.COMPLETED:
            errors = _no_json(outcome.warnings) or await self._schemas.errors(
                step.result_schema, outcome.value
            )
            if errors:
                work.taken_back = _invalid(step.name, errors)
                return
        if step.is_result:
            profile = await self._incarnation.store.read_profile(self._incarnation.run_key)
            if profile is not None:
                verdict = await self._verdict(outcome)
                work.changes = turned(profile.status, work.changes, verdict, now_us())

    async def _verdict(self, outcome: Outcome) -> Verdict:
        rules = self._incarnation.rules
        if outcome.status is OutcomeStatus.ERROR:
            return unencodable(judge_error(unpack(outcome.value), MODEL_ERRORS), rules)
        return await verdict_on(self._schemas, rules, unpack(outcome.value), outcome.warnings)


async def verdict_on(schemas: Schemas, rules: RunRules, value: Any, warnings: Iterable[Warned]) -> Verdict:
    """What a value is as the result of a run."""
    if rules.result_schema is None:
        return Verdict(value)
    errors, code = _no_json(warnings), JSON_ERROR
    if not errors:
        errors, code = await schemas.errors(rules.result_schema, pack(value)), VALIDATION_ERROR
    return verdict_of(value, errors, code, is_strict=rules.is_strict)


def has_no_value(error: WorkerError) -> bool:
    """Whether an action was performed, and only its value cannot be told."""
    return error.code is ErrorCode.UNENCODABLE_VALUE


def unencodable(error: WorkerError, rules: RunRules) -> Verdict:
    """What a value that cannot be told is as the result of a run."""
    errors: Errors = [{"path": "", "error": error.message}]
    return verdict_of(None, errors, JSON_ERROR, is_strict=rules.is_strict)


def _no_json(warnings: Iterable[Warned]) -> Errors:
    return _NO_JSON if any(warning.get("code") == NOT_JSON for warning in warnings) else []


def _invalid(name: str, errors: Errors) -> ModelError:
    return ModelError(
        ErrorCode.RESULT_INVALID,
        f"the result of {name} does not fit its resultSchema: {first_of(errors)}; what the call did is taken back",
        name=name,
        errors=errors,
        applied="no",
    )


def _count(work: Work, outcome: Outcome) -> None:
    work.outcome_bytes += outcome.size_bytes
    if work.outcomes and work.outcome_bytes > MAX_OUTCOME_BYTES:
        raise LimitError(
            f"more than {MAX_OUTCOME_BYTES} bytes in what the actions of one request returned and recorded",
            limit="outcome_bytes",
            used=work.outcome_bytes,
            allowed=MAX_OUTCOME_BYTES,
        )
