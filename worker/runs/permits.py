"""Permits: which locks a run gets when nobody says."""

from typing import Any

from protocol.entities import Role, Scope, ScopeBoundary

_ADMIN_ROLES = frozenset({Role.SYSTEM, Role.MONITOR, Role.OWNER, Role.AUTHOR, Role.SUPPORT, Role.ASSOCIATE})
_FACILITATING_ROLES = frozenset({Role.FACILITATOR, Role.REVIEWER})


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
