"""Who is asking: what a bearer token says of its holder, and the two ways to read one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Protocol

from pydantic import ValidationError

from protocol.entities import Actor, Role
from worker.gateway.faults import Fault

_HEIGHT: Final = {role: height for height, role in enumerate(reversed(Role))}
_PARTS: Final = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the actor that the worker is told of, and what only the gateway needs.

    ``projects``: the names (``account/project``) a token is good for; None: all. ``group_name``: where runs of the
    caller's group are found.
    """

    actor: dict[str, Any]
    role: Role
    projects: frozenset[str] | None = None
    group_name: str | None = None
    expires_at: float | None = None
    """When the token is good no more, in seconds since 1970; None: it stays good."""
    identity: tuple[str, ...] = field(default=())
    """What tells this caller from others, for the ids of requests."""

    @property
    def world_key(self) -> str | None:
        """The world whose member the caller is."""
        return self.actor.get("world_key")

    def require(self, role: Role) -> None:
        """Refuse a caller below ``role``.

        Raises:
            Fault: 401 AUTHORIZATION_FAILURE.
        """
        if _HEIGHT[self.role] < _HEIGHT[role]:
            raise denied(f"this takes {role.value} or above, and the caller is {self.role.value}")

    def enter(self, project: str) -> None:
        """Refuse a token that is for other projects.

        Raises:
            Fault: 401 AUTHORIZATION_FAILURE.
        """
        if self.projects is not None and project not in self.projects:
            raise denied(f"the token is not for project {project}")


def denied(message: str, code: str = "AUTHORIZATION_FAILURE") -> Fault:
    """Not with this token, or not without one."""
    return Fault(401, code, message, headers={"WWW-Authenticate": "Bearer"})


def make_caller(actor: Mapping[str, Any], **more: Any) -> Caller:
    """A caller whose actor is fit for the wire; parts that are None are left out.

    Raises:
        Fault: 401 AUTHENTICATION_INVALIDATED for a role that there is not, or a key that is none.
    """
    given = {name: value for name, value in actor.items() if value is not None}
    try:
        judged = Actor.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise denied(f"token: {first['loc'][0]}: {first['msg']}", "AUTHENTICATION_INVALIDATED") from error
    role = judged.role or Role.ANONYMOUS
    told = {**given, "role": role.value}
    identity = tuple(f"{name}={told[name]}" for name in ("role", "user_key", "group_key") if name in told)
    return Caller(told, role, identity=identity, **more)


class Reader(Protocol):
    """Reads a bearer token; the empty one is of who sent none."""

    def read(self, token: str) -> Caller:
        """Who holds the token.

        Raises:
            Fault: 401 for what is no token, or not one any more.
        """


class DevelopmentReader:
    """Believes what it is told: for a laptop, on a loopback address.

    ``dev`` is an author who may do everything, ``dev:ROLE:userKey[:worldRole[:worldKey]]`` anybody.
    """

    def read(self, token: str) -> Caller:
        """Who the token's text names."""
        return _named(token)


@lru_cache(maxsize=64)
def _named(token: str) -> Caller:
    """The same few ask again and again."""
    if not token:
        return make_caller({"role": Role.ANONYMOUS.value})
    kind, *parts = token.split(":")
    if kind != "dev" or len(parts) + 1 > _PARTS or len(parts) == 1:
        raise denied(
            "a development token is `dev` or `dev:ROLE:userKey[:worldRole[:worldKey]]`",
            "AUTHENTICATION_INVALIDATED",
        )
    if not parts:
        return make_caller(
            {"role": Role.AUTHOR.value, "user_key": "dev", "pseudonym_key": "dev", "is_system": True}
        )
    role, user, *world = parts
    names = dict(zip(("world_role", "world_key"), world, strict=False))
    return make_caller(
        {
            "role": role,
            "user_key": user,
            "pseudonym_key": user,
            **{name: key for name, key in names.items() if key},
        }
    )


def bearer(header: str | None) -> str:
    """The token in an ``Authorization`` header; "" without one.

    Raises:
        Fault: 401 AUTHORIZATION_FAILURE for another scheme.
    """
    if header is None:
        return ""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise denied("Authorization is to be `Bearer TOKEN`")
    return token.strip()
