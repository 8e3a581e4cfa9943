"""Decisions on requests that wait for approval: each is made once, durable before anything follows from it."""

from dataclasses import dataclass
from typing import Any, Final

from protocol.entities import RunStatus
from protocol.errors import ErrorCode
from protocol.profiles import DecideAction
from worker.channel import pack, unpack
from worker.clock import now_us
from worker.errors import RequestError
from worker.log.base import StoredRequest
from worker.runs.approvals import APPROVAL, Decision, Pending, lacks
from worker.runs.guards import asker_of
from worker.runs.record import RunRecord
from worker.supervisor.access import StateAccess, closed, stored_answer
from worker.supervisor.flights import Flight
from worker.supervisor.holding import decide, pending_of_profile

WAIT_SECONDS: Final = 20.0
"""How long a decision waits for what follows from it; that goes on in any case."""
_NUMBER_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Decisions:
    """Makes them; one object for the whole worker."""

    access: StateAccess

    async def serve(self, flight: Flight, request: DecideAction) -> dict[str, Any]:
        """``{action_id, approved}``, once the request that waited is carried out, or takes longer than ``WAIT_SECONDS``.

        Raises:
            RequestError: ACTION_NOT_FOUND, ALREADY_DECIDED, RUN_CLOSED, PERMIT_VIOLATION; nothing was decided.
        """
        run_key, under_way = request.run_key, self.access.under_way
        await under_way.settled(flight, run_key)
        async with self.access.table.gate(run_key):
            stored = self.access.stored(flight, run_key)
            answer = stored_answer(stored) if stored is not None else await self._decided(flight, request)
        if stored is None:
            under_way.restart(run_key)
            await under_way.ended(run_key, WAIT_SECONDS)
        return answer

    async def _decided(self, flight: Flight, request: DecideAction) -> dict[str, Any]:
        run_key = request.run_key
        host, record = await self.access.locate(request, run_key)
        if record.closed:
            raise closed(run_key)
        store = self.access.stores.of(run_key)
        pending = pending_of_profile(await store.read_profile(run_key))
        if pending is None or pending.action_id != request.action_id:
            raise await self._unknown(request)
        if pending.decision is not None:
            raise _already(run_key, pending.action_id, approved=pending.decision.approved)
        self._permit(request, record, pending)
        actor = None if request.actor is None else request.actor.model_dump(mode="json", exclude_none=True)
        decision = Decision(request.approved, actor, now_us())
        answer = {"action_id": pending.action_id, "approved": request.approved}
        stored = StoredRequest(request.request_id, run_key, flight.digest, result=pack(answer))
        decided = await decide(store, run_key, pending, decision, stored)
        if host is not None:
            host.teller.hold(decided, RunStatus.EXECUTING)
        return {"result": answer}

    def _permit(self, request: DecideAction, record: RunRecord, pending: Pending) -> None:
        needed = lacks(asker_of(request.actor, record.scope), pending.roles)
        if needed is not None and self.access.settings.permits == "enforce":
            raise RequestError(
                ErrorCode.PERMIT_VIOLATION,
                f"run {record.run_key}: action {pending.action_id} is decided by {needed}",
                run_key=record.run_key,
                right="approve",
                needed=list(pending.roles),
                action_id=pending.action_id,
            )

    async def _unknown(self, request: DecideAction) -> RequestError:
        """What became of an action that does not wait."""
        run_key, action_id = request.run_key, request.action_id
        if action_id.isascii() and action_id.isdecimal() and len(action_id) <= _NUMBER_DIGITS:
            seq = int(action_id)
            entries = await self.access.stores.of(run_key).read(run_key, after_seq=max(seq - 1, 0), limit=1)
            for entry in entries:
                actor = None if entry.actor is None else unpack(entry.actor)
                decision = (actor or {}).get(APPROVAL)
                if entry.seq == seq and decision is not None:
                    return _already(run_key, action_id, approved=decision["approved"])
        message = f"run {run_key} has no action {action_id!r:.60} that waits for approval"
        return RequestError(ErrorCode.ACTION_NOT_FOUND, message, run_key=run_key, action_id=action_id)


def _already(run_key: str, action_id: str, *, approved: bool) -> RequestError:
    word = "approved" if approved else "denied"
    return RequestError(
        ErrorCode.ALREADY_DECIDED,
        f"run {run_key}: action {action_id} was {word} before; a decision is made once",
        run_key=run_key,
        action_id=action_id,
        approved=approved,
    )
