"""Requests to change a run that waits for a decision, or that must wait for one themselves."""

from protocol.entities import RunStatus
from worker.log.base import Store
from worker.runs.approvals import Pending
from worker.runs.profile import StatusChange
from worker.runs.stimuli import Work
from worker.supervisor.flights import Flight, reused
from worker.supervisor.holding import (
    declared,
    denial,
    denied,
    keep,
    paused,
    pending_error,
    pending_of_profile,
    with_approvals,
)
from worker.supervisor.host import RunHost
from worker.supervisor.incarnation import Incarnation


async def admit(flight: Flight, work: Work, host: RunHost | None, incarnation: Incarnation) -> None:
    """Let work that changes the run be performed, now that all that was asked before is routed.

    The caller holds the run's gate. ``work`` is told what of it was approved.

    Raises:
        RequestError: RUN_PAUSED; PENDING_APPROVAL, durably so; APPROVAL_DENIED, which is recorded then.
        ReroutedError: the incarnation ended; look again.
    """
    pending = pending_of_profile(incarnation.profile) if host is None else host.teller.pending
    if pending is not None and not _is_carried_out(incarnation.store, incarnation.run_key, pending):
        await _decided(flight, work, pending, host, incarnation)
    if declared(work, incarnation.context, 0) is None:
        return
    if host is not None:  # what it still performs comes before, and is numbered before
        await flight.perform(host, Work(flight.request.request_id))
    seq = incarnation.record.seq if host is None else host.seq
    asks = declared(work, incarnation.context, seq)
    if asks is not None:
        await keep(incarnation.store, incarnation.run_key, asks)
        if host is not None:
            host.teller.hold(asks, RunStatus.PAUSED)
        raise pending_error(asks)


async def _decided(
    flight: Flight, work: Work, pending: Pending, host: RunHost | None, incarnation: Incarnation
) -> None:
    """What a request comes to while one waits: it is that one, and was decided, or it is refused."""
    run_key = incarnation.run_key
    if pending.request_id != work.request_id:
        raise paused(run_key, pending)
    if pending.digest != work.digest:
        raise reused(work.request_id)
    if pending.decision is None:
        raise pending_error(pending)
    changes: tuple[StatusChange, ...] = ()
    if not pending.of_course:  # a course goes on, and clears away what is behind it
        changes = (StatusChange(RunStatus.READY, pending.decision.at_us, pending=None),)
    if not pending.decision.approved:
        await _deny(flight, pending, host, incarnation, changes)
        raise denied(pending)
    with_approvals(work, pending)
    work.changes = changes


async def _deny(
    flight: Flight,
    pending: Pending,
    host: RunHost | None,
    incarnation: Incarnation,
    changes: tuple[StatusChange, ...],
) -> None:
    if host is None:
        row = await incarnation.store.claim(incarnation.run_key)
    else:
        await flight.perform(host, Work(flight.request.request_id))
        row = host.record
    append = denial(row, pending, changes)
    await incarnation.store.append(append)
    if host is not None:
        host.head.move(append)
        host.teller.hold(None, changes[-1].to if changes else RunStatus.EXECUTING)


def _is_carried_out(store: Store, run_key: str, pending: Pending) -> bool:
    """Whether what was decided is recorded, and only its traces in the profile are still there."""
    found = store.find_request(pending.request_id)
    return pending.decision is not None and any(one.run_key == run_key for one in found)
