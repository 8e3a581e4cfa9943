"""What is told of a run's statuses to whom its caller named: decided where the status changes, once.

A change is told where the target's words have another word for the new status than for the old one, and the target
asks for it. Its id is made of run and number, so that whatever is sent of it, and however often, has the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from protocol.entities import RunStatus
from protocol.vocabularies import STATUS_WORDS
from worker.clock import iso
from worker.runs.profile import RunProfile
from worker.runs.targets import web_address

ERROR_CHARACTERS: Final = 500


class DeliveryState(StrEnum):
    """What has become of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up, until somebody asks for it again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One status of one run, to be told to one target; fields are named as the columns of the table ``delivery``.

    Times are microseconds since 1970. ``sequence`` is the profile's ``status_seq``. ``target``: a ``StatusTarget`` as
    it travels. ``body``: the JSON text to send but for ``attempt``; None once it was delivered. ``attempt``: how many
    have failed or succeeded in this ``round``; each redelivery begins another. ``next_us``: when to try, None behind
    an earlier one of the run.
    """

    delivery_id: str
    run_key: str
    project: str
    sequence: int
    status: RunStatus
    previous_status: RunStatus | None
    occurred_us: int
    target_key: str
    target: dict[str, Any]
    body: str | None
    state: DeliveryState = DeliveryState.PENDING
    attempt: int = 0
    round: int = 0
    next_us: int | None = None
    settled_us: int | None = None
    last_error: str | None = None

    def payload(self, attempt: int) -> dict[str, Any]:
        """What is sent at an attempt (from 1)."""
        return {**json.loads(self.body or "{}"), "attempt": attempt}


@dataclass(frozen=True, slots=True)
class Settled:
    """What an attempt came to: delivered without an ``error``; else tried again at ``next_us``, given up where None.

    ``attempt``, ``round``: which one it was; nothing is changed where the delivery is in another round by now.
    """

    delivery_id: str
    attempt: int
    round: int
    at_us: int
    error: str | None = None
    next_us: int | None = None

    @property
    def state(self) -> DeliveryState:
        """What becomes of the delivery."""
        if self.error is None:
            return DeliveryState.DELIVERED
        return DeliveryState.DEAD if self.next_us is None else DeliveryState.PENDING


def delivery_of(
    old: RunProfile | None, new: RunProfile, at_us: int, metadata: Mapping[str, Any]
) -> Delivery | None:
    """What is to be told of a profile that has changed from ``old``, or that is new; None where nothing is."""
    target = new.on_status_change
    if target is None:
        return None
    words = STATUS_WORDS[target.get("words") or "worker"]
    before = None if old is None else words[old.status]
    asked = target.get("statuses")
    if words[new.status] == before or (asked is not None and new.status not in asked):
        return None
    delivery_id = f"{new.run_key}.{new.status_seq}"
    body = {
        "runId": new.run_id or new.run_key,
        "status": words[new.status],
        "metadata": dict(metadata),
        "result": new.result,
        "deliveryId": delivery_id,
        "sequence": new.status_seq,
        "previousStatus": before,
        "occurredAt": iso(at_us),
    }
    if new.status is RunStatus.FAILED:
        body["failureReason"] = _failure_reason(new)
    if "function" in target:
        body["context"] = new.context
    return Delivery(
        delivery_id=delivery_id,
        run_key=new.run_key,
        project=new.project,
        sequence=new.status_seq,
        status=new.status,
        previous_status=None if old is None else old.status,
        occurred_us=at_us,
        target_key=target_key(target),
        target=target,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
    )


def target_key(target: Mapping[str, Any]) -> str:
    """Who is asked, of whom no more than some deliveries are under way at once."""
    function = target.get("function")
    return web_address(target["webhook"]).origin if function is None else str(function["service"])


def shown_target(target: Mapping[str, Any]) -> str:
    """A target for people: a function by its two names, a web address without its query."""
    function = target.get("function")
    if function is None:
        return web_address(target["webhook"]).shown
    return f"{function['service']} {function['function']}"


def _failure_reason(profile: RunProfile) -> str | None:
    message = None if profile.error is None else profile.error.get("message")
    return str(message) if message else profile.finish_reason
