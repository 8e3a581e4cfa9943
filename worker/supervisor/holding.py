"""Requests that wait for approval: what of them is kept, who is told what, and what their denial leaves behind."""

from dataclasses import replace
from typing import Any

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.messages import PerformActions
from worker.channel import outcome_digest, pack, unpack
from worker.clock import now_us
from worker.errors import RequestError
from worker.log.base import Append, Store, StoredRequest
from worker.runs.approvals import APPROVAL, REASON_CHARACTERS, Decision, Pending, actions_of
from worker.runs.contexts import ModelContext
from worker.runs.history import EntryKind, LogEntry, OutcomeStatus
from worker.runs.profile import RunProfile, StatusChange
from worker.runs.record import RunRecord
from worker.runs.status import way
from worker.runs.stimuli import Cause, Step, StepKind, Work
from worker.supervisor.records import taking_back


def pending_of(work: Work, place: int, action_id: str, roles: tuple[str, ...], reason: str | None) -> Pending:
    """What is kept of a request whose action at ``place`` asks."""
    actions = [unpack(step.action) for step in work.steps if not step.is_look]
    return Pending(
        action_id=action_id,
        request_id=work.request_id,
        digest=work.digest,
        actor=None if work.actor is None else unpack(work.actor),
        actions=tuple(actions),
        place=place,
        asked_us=now_us(),
        roles=roles,
        reason=None if reason is None else reason[:REASON_CHARACTERS],
        of_course=work.cause is Cause.INITIAL,
        approvals=work.approvals,
    )


def pending_of_profile(profile: RunProfile | None) -> Pending | None:
    """What waits, by a profile."""
    if profile is None or profile.pending is None:
        return None
    return Pending.from_json(profile.pending)


def declared(work: Work, context: ModelContext, head_seq: int) -> Pending | None:
    """What must be approved before anything of a request is performed, by the model's context; None if nothing."""
    recorded, place = 0, 0
    for step in work.steps:
        if step.is_look:
            continue
        roles = context.approvers(step.name) if step.kind is StepKind.EXECUTE else None
        if roles is not None and place not in work.approvals:
            return pending_of(work, place, str(head_seq + recorded + 1), roles, None)
        recorded, place = recorded + step.recorded, place + 1
    return None


def with_approvals(work: Work, pending: Pending) -> None:
    """Have the actions of a request know what was approved."""
    work.digest, work.approvals, place = pending.digest, pending.approved, 0
    work.cause = Cause.INITIAL if pending.of_course else Cause.APPROVAL
    steps: list[Step] = []
    for step in work.steps:
        decision = None if step.is_look else work.approvals.get(place)
        steps.append(step if decision is None else replace(step, actor=_decided_actor(pending, decision)))
        place += not step.is_look
    work.steps = tuple(steps)


def _decided_actor(pending: Pending, decision: Decision) -> bytes:
    told = {"action_id": pending.action_id, **decision.to_json()}
    return pack({**(pending.actor or {}), APPROVAL: told})


def original(pending: Pending, project: str, run_key: str) -> PerformActions:
    """The request that waits, as one to perform its actions."""
    return PerformActions.model_validate(
        {
            "type": "perform_actions",
            "request_id": pending.request_id,
            "project": project or None,
            "run_key": run_key,
            "actor": pending.actor,
            "actions": actions_of(pending.actions),
        }
    )


async def keep(store: Store, run_key: str, pending: Pending | None) -> None:
    """Make durable that a run is paused by a request."""
    if pending is None:
        return
    profile = await store.read_profile(run_key)
    status = RunStatus.READY if profile is None else profile.status
    *before, last = [StatusChange(one, pending.asked_us) for one in way(status, RunStatus.PAUSED)]
    await store.change_status(run_key, *before, replace(last, pending=pending.to_json()))


async def decide(
    store: Store, run_key: str, pending: Pending, decision: Decision, request: StoredRequest
) -> Pending:
    """Make a decision durable, with the request that made it; what follows from it is done afterwards."""
    decided = pending.decided(decision)
    change = StatusChange(RunStatus.EXECUTING, decision.at_us, pending=decided.to_json())
    await store.change_status(run_key, change, request=request)
    return decided


def denial(row: RunRecord, pending: Pending, changes: tuple[StatusChange, ...]) -> Append:
    """The write that ends a request which was not approved: its asking action failed, and is taken back."""
    if pending.decision is None:
        raise ValueError(f"run {row.run_key}: action {pending.action_id} is not decided")
    at_us, error = now_us(), denied(pending)
    body = {"code": error.code.value, "message": error.message, "information": error.information}
    outcome = pack(body)
    entry = LogEntry(
        seq=row.seq + 1,
        epoch=row.epoch,
        kind=EntryKind.EXECUTE,
        at_us=at_us,
        action=pack(pending.asking),
        actor=_decided_actor(pending, pending.decision),
        status=OutcomeStatus.ERROR,
        outcome=outcome,
        digest=outcome_digest("error", outcome, error.code.value),
        request_id=pending.request_id,
        batch=pending.place,
        rewound_by=row.seq + 2,
    )
    answer = pack({"outcomes": [["error", entry.action, outcome]]})
    return Append(
        run_key=row.run_key,
        epoch=row.epoch,
        head_seq=row.seq,
        entries=(entry, taking_back(row, row.seq, row.seq + 2, at_us)),
        at_us=at_us,
        request=StoredRequest(pending.request_id, row.run_key, pending.digest, entry.seq, entry.seq, answer),
        changes=changes,
    )


def pending_error(pending: Pending) -> RequestError:
    """The answer to who asked for what waits."""
    who = f" by {' or '.join(pending.roles)}" if pending.roles else ""
    return RequestError(
        ErrorCode.PENDING_APPROVAL,
        f"{pending.asking['name']} waits for approval{who}; decide_action decides on action {pending.action_id}, and "
        "the same request is answered with its outcome then",
        **_told(pending),
        roles=list(pending.roles),
        **({} if pending.reason is None else {"reason": pending.reason}),
    )


def paused(run_key: str, pending: Pending) -> RequestError:
    """The answer to others who want to change a run meanwhile."""
    return RequestError(
        ErrorCode.RUN_PAUSED,
        f"run {run_key} is paused: action {pending.action_id} ({pending.asking['name']}) waits for approval; nothing "
        "changes the run until decide_action",
        run_key=run_key,
        **_told(pending),
    )


def denied(pending: Pending) -> RequestError:
    """The answer to who asked for what was not approved."""
    return RequestError(
        ErrorCode.APPROVAL_DENIED,
        f"{pending.asking['name']} was not approved (action {pending.action_id}); nothing of the request was performed",
        **_told(pending),
    )


def _told(pending: Pending) -> dict[str, Any]:
    return {
        "action_id": pending.action_id,
        "name": pending.asking["name"],
        "index": pending.place,
        "applied": "no",
    }
