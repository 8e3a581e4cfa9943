"""Requests that wait until somebody lets them be performed.

A request that asks for approval has done nothing, or what it did was taken back. It is kept whole; of its actions one
asks, by its place in the request. Once that is decided, the request is performed from its beginning, and the next of
its actions that asks has it wait again. A decision is made once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from protocol.actions import Execute, Get, Set
from protocol.entities import Role
from worker.runs.guards import Asker
from worker.runs.permits import at_least

REASON_CHARACTERS: Final = 1000
APPROVAL: Final = "approval"
"""Where a recorded actor has the decision that let his action be performed."""
_PLATFORM: Final = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Decision:
    """``approved`` or not, by an actor (a map, None for nobody who says who he is), at a time (microseconds)."""

    approved: bool
    by: dict[str, Any] | None
    at_us: int

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {"approved": self.approved, "by": self.by, "at_us": self.at_us}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Decision":
        """What ``to_json`` gave."""
        return cls(kept["approved"], kept["by"], kept["at_us"])


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits. ``action_id``: the number its asking action would have in the history, as text.

    ``place``: which of ``actions`` asks. ``roles``: who may decide, nobody in particular where there are none.
    ``of_course``: it is an initial action of a run. ``approvals``: of actions that asked before, by place. ``decision``: made, but not carried out yet.
    """

    action_id: str
    request_id: str
    digest: bytes
    actor: dict[str, Any] | None
    actions: tuple[dict[str, Any], ...]
    place: int
    asked_us: int
    roles: tuple[str, ...] = ()
    reason: str | None = None
    of_course: bool = False
    approvals: Mapping[int, Decision] = field(default_factory=dict)
    decision: Decision | None = None

    @property
    def asking(self) -> dict[str, Any]:
        """The action that asks."""
        return self.actions[self.place]

    def decided(self, decision: Decision) -> "Pending":
        """The same with its decision."""
        return replace(self, decision=decision)

    @property
    def approved(self) -> dict[int, Decision]:
        """The actions that may be performed, by place."""
        more = {self.place: self.decision} if self.decision is not None and self.decision.approved else {}
        return {**self.approvals, **more}

    def view(self) -> dict[str, Any]:
        """What people decide on."""
        return {
            "action_id": self.action_id,
            "name": self.asking["name"],
            "arguments": self.asking.get("arguments", []),
            "reason": self.reason,
            "actor": self.actor,
            "request_id": self.request_id,
            "index": self.place,
            "actions": len(self.actions),
            "roles": list(self.roles),
        }

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "action_id": self.action_id,
            "request_id": self.request_id,
            "digest": self.digest.hex(),
            "actor": self.actor,
            "actions": list(self.actions),
            "place": self.place,
            "asked_us": self.asked_us,
            "roles": list(self.roles),
            "reason": self.reason,
            "of_course": self.of_course,
            "approvals": {str(place): one.to_json() for place, one in self.approvals.items()},
            "decision": None if self.decision is None else self.decision.to_json(),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Pending":
        """What ``to_json`` gave."""
        decision = kept["decision"]
        return cls(
            action_id=kept["action_id"],
            request_id=kept["request_id"],
            digest=bytes.fromhex(kept["digest"]),
            actor=kept["actor"],
            actions=tuple(kept["actions"]),
            place=kept["place"],
            asked_us=kept["asked_us"],
            roles=tuple(kept["roles"]),
            reason=kept["reason"],
            of_course=kept["of_course"],
            approvals={int(place): Decision.from_json(one) for place, one in kept["approvals"].items()},
            decision=None if decision is None else Decision.from_json(decision),
        )


def actions_of(kept: Sequence[Mapping[str, Any]]) -> list[Execute | Get | Set]:
    """The actions of a request that waited, as a request has them."""
    kinds: dict[str, type[Execute | Get | Set]] = {"execute": Execute, "get": Get, "set": Set}
    return [kinds[one["kind"]].model_validate(one) for one in kept]


def lacks(asker: Asker, roles: Sequence[str]) -> str | None:
    """What ``asker`` lacks to decide; None if nothing. Roles of the platform stand for those above them too."""
    if not roles or asker.is_system:
        return None
    for role in roles:
        if role in _PLATFORM:
            if at_least(asker.role, Role(role)):
                return None
        elif asker.world_role == role:
            return None
    return " or ".join(
        f"the role {role} or above" if role in _PLATFORM else f"the world role {role}" for role in roles
    )
