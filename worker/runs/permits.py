"""Permits: which locks a run gets when nobody says, and whom a lock keeps out."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from protocol.entities import Actor, Role, Scope, ScopeBoundary

_ADMIN_ROLES = frozenset({Role.SYSTEM, Role.MONITOR, Role.OWNER, Role.AUTHOR, Role.SUPPORT, Role.ASSOCIATE})
_FACILITATING_ROLES = frozenset({Role.FACILITATOR, Role.REVIEWER})
_HEIGHT: Final = {role: height for height, role in enumerate(reversed(Role))}


class Right(StrEnum):
    """What a request does to a run: look at it, play it (its model, its metadata), or change its attributes."""

    READ = "read"
    PLAY = "play"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Denial:
    """Which lock keeps an actor out: ``needed`` or above would open it, the actor counts as ``role``."""

    lock: str
    needed: Role
    role: Role


def at_least(role: Role, needed: Role) -> bool:
    """Whether ``role`` is ``needed`` or above it on the ladder."""
    return _HEIGHT[role] >= _HEIGHT[needed]


def opened_by(role: Role) -> tuple[Role, ...]:
    """The locks that a role opens."""
    return tuple(lock for lock in Role if at_least(role, lock))


def standing(role: Role, user_key: str | None, scope: Mapping[str, Any]) -> Role:
    """The role that an actor counts as for a run: its user is USER or above, and nobody else is USER.

    Who claims USER without a key is believed.
    """
    own = scope.get("user_key")
    if user_key is not None and user_key == own:
        return role if at_least(role, Role.USER) else Role.USER
    if role is Role.USER and user_key is not None:
        return Role.PARTICIPANT
    return role


def denial(
    actor: Actor | None, right: Right, permit: Mapping[str, Any], scope: Mapping[str, Any]
) -> Denial | None:
    """What keeps ``actor`` from a run; None for one without a role, whom its API tier judged.

    Members of the world of a WORLD run play it with the read lock alone.
    """
    if actor is None or actor.role is None or actor.is_system:
        return None
    is_member = (
        scope.get("scope_boundary") == ScopeBoundary.WORLD
        and actor.world_key is not None
        and actor.world_key == scope.get("scope_key")
    )
    lock = "read_lock" if right is Right.READ or (right is Right.PLAY and is_member) else "write_lock"
    needed, role = Role(permit[lock]), standing(actor.role, actor.user_key, scope)
    return None if at_least(role, needed) else Denial(lock, needed, role)


def default_permit(role: Role | None, scope: Scope) -> dict[str, Any]:
    """Locks by creator and scope; a lock of USER needs a user in the scope, without one it is PARTICIPANT."""
    if role in _ADMIN_ROLES:
        read, write = Role.AUTHOR, Role.AUTHOR
    elif role in _FACILITATING_ROLES:
        read, write = Role.FACILITATOR, Role.FACILITATOR
    elif scope.scope_boundary is ScopeBoundary.WORLD:
        read, write = Role.PARTICIPANT, Role.FACILITATOR
    else:
        read = write = Role.USER if scope.user_key else Role.PARTICIPANT
    return {"read_lock": read.value, "write_lock": write.value}
