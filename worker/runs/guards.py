"""Guards: what the author of a model lets callers do with its variables and operations.

Pure. ``judge`` knows the actor and what is asked; guards that depend on the state of the model become
``Condition``s, which are judged with values read right before the action.

Who says nothing about himself is nobody: the lowest role, and no role in a world. ``is_system`` is the platform
itself, which role and privilege guards do not hold; the others hold for everybody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from protocol.entities import Actor, Role
from worker.runs.naming import names_of
from worker.runs.patterns import checked, compiled
from worker.runs.permits import at_least, standing

MAX_GUARDS: Final = 64
SHOWN_CHARACTERS: Final = 100
"""Of an author's value in a message."""


class Access(StrEnum):
    """What an action does to what it names."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as guards see it."""

    role: Role = Role.ANONYMOUS
    world_role: str | None = None
    is_system: bool = False


@dataclass(frozen=True, slots=True)
class GuardViolation:
    """A refusal: ``kind`` of the guard, what was asked, and what would have to be so."""

    kind: str
    access: Access
    name: str
    needed: str

    @property
    def message(self) -> str:
        """The refusal in words."""
        return f"a {self.kind} guard of the model does not let you {self.access} {self.name}; needed: {self.needed}"

    @property
    def information(self) -> dict[str, Any]:
        """The refusal as ``information`` of an error."""
        return {
            "guard": self.kind,
            "access": self.access.value,
            "name": self.name,
            "needed": self.needed,
            "applied": "no",
        }


@dataclass(frozen=True, slots=True)
class Condition:
    """A write of ``name`` is let through while ``reference`` stands in ``operator`` to ``operand``."""

    kind: str
    name: str
    reference: str
    operator: str
    operand: Any


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _raised(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


_WORDS: Final = {"=": "==", "equal": "==", "equals": "=="}


def _operator(value: Any) -> Any:
    return _WORDS.get(value.strip().casefold(), value.strip().casefold()) if isinstance(value, str) else value


Regex = Annotated[str, AfterValidator(checked)]
Domain = Annotated[Literal["variable", "operation", "procedure"], BeforeValidator(_folded)]
Grant = Annotated[Literal["allow", "disallow"], BeforeValidator(_folded)]
RoleName = Annotated[Role, Field(strict=False), BeforeValidator(_raised)]
Operator = Annotated[Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"], BeforeValidator(_operator)]
Dialect = Annotated[Literal["POINT_IN_TIME"], BeforeValidator(_raised)]


class _Guard(BaseModel):
    """``regex`` is searched in the names of what is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    regex: Regex

    def match(self, names: Sequence[str]) -> str | None:
        """The first of ``names`` that the guard is about."""
        search = compiled(self.regex).search
        return next((name for name in names if search(name)), None)


class _DomainGuard(_Guard):
    domain: Domain
    grant: Grant

    def covers(self, access: Access) -> bool:
        """Whether the guard is about such things at all."""
        return (self.domain == "variable") is (access is not Access.EXECUTE)


class RoleGuard(_DomainGuard):
    """Only (``allow``) or not (``disallow``) the world role ``role`` may write variables, or call operations."""

    kind: Literal["role"] = "role"
    role: Annotated[str, Field(min_length=1)]


class PrivilegeGuard(_DomainGuard):
    """From which platform role on (``allow``), or up to which not (``disallow``), one may read, write, execute."""

    kind: Literal["privilege"] = "privilege"
    read: RoleName | None = None
    write: RoleName | None = None
    execute: RoleName | None = None

    def refuses(self, role: Role, access: Access) -> str | None:
        """What ``role`` lacks for ``access``; None if nothing."""
        bound: Role | None = getattr(self, access.value)
        if bound is None:
            return None
        if self.grant == "allow":
            return None if at_least(role, bound) else f"the role {bound} or above"
        return f"a role above {bound}" if at_least(bound, role) else None


class _Comparing(_Guard):
    """A guard with an operator, which some operands do not fit."""

    @staticmethod
    def fit(operator: str, operand: Any) -> None:
        """Refuse an operand that nothing could be compared with."""
        if operator in ("in", "not in") and not isinstance(operand, list):
            raise ValueError(f"the operator {operator!r} needs a list")
        if operator in _ORDERS and (isinstance(operand, bool) or not isinstance(operand, int | float | str)):
            raise ValueError(f"the operator {operator!r} needs a number or a text")


class InputGuard(_Comparing):
    """A variable takes only values that stand in ``operator`` to ``operand``; without both it takes none."""

    kind: Literal["input"] = "input"
    operator: Operator | None = None
    operand: Any = None

    @model_validator(mode="after")
    def _whole(self) -> "InputGuard":
        if (self.operator is None) is ("operand" in self.model_fields_set):
            raise ValueError("operator and operand belong together")
        if self.operator is not None:
            self.fit(self.operator, self.operand)
        return self


class OverwriteGuard(_Guard):
    """A variable is written while it still has its ``initial`` value: once."""

    kind: Literal["overwrite"] = "overwrite"
    initial: Any
    dialect: Dialect | None = None


class RelativeGuard(_Comparing):
    """A variable is written while the variable ``key`` stands in ``operator`` to ``value``."""

    kind: Literal["relative"] = "relative"
    key: Annotated[str, Field(min_length=1, max_length=256)]
    operator: Operator
    value: Any
    dialect: Dialect | None = None

    @model_validator(mode="after")
    def _fitting(self) -> "RelativeGuard":
        self.fit(self.operator, self.value)
        return self


Guard = RoleGuard | PrivilegeGuard | InputGuard | OverwriteGuard | RelativeGuard
_KINDS: Final[dict[str, type[Guard]]] = {
    "role": RoleGuard,
    "privilege": PrivilegeGuard,
    "input": InputGuard,
    "overwrite": OverwriteGuard,
    "relative": RelativeGuard,
}


def guard_of(kind: str, options: Mapping[str, Any]) -> Guard:
    """A guard from its kind and properties.

    Raises:
        ValueError: the kind is not known, or a property is missing, not known or wrong; the message names it.
    """
    if kind not in _KINDS:
        raise ValueError(f"{kind or 'this'!r} is not a known guard; known: {', '.join(_KINDS)}")
    if "kind" in options:
        raise ValueError(f"{kind}.kind: Extra inputs are not permitted")
    try:
        return _KINDS[kind].model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        path = ".".join([kind, *map(str, first["loc"])])
        raise ValueError(f"{path}: {first['msg']}") from error


def asker_of(actor: Actor | None, scope: Mapping[str, Any]) -> Asker:
    """The actor of a request to a run of ``scope``; its group mandate is its role where it has none."""
    if actor is None:
        return Asker()
    role = actor.role
    if role is None:
        role = Role(actor.group_mandate) if actor.group_mandate in tuple(Role) else Role.ANONYMOUS
    role = standing(role, actor.user_key, scope)
    return Asker(role, actor.world_role, bool(actor.is_system) or role is Role.SYSTEM)


def judge(
    guards: Iterable[Guard], asker: Asker, access: Access, name: str, value: Any = None
) -> GuardViolation | None:
    """The first guard's refusal that does not depend on the model's state; ``value`` is what a write assigns."""
    names = (name,) if access is Access.EXECUTE else names_of(name)
    guards = [guard for guard in guards if guard.match(names) is not None]
    needed = None if asker.is_system else _judge_role(guards, asker, access)
    if needed is not None:
        return GuardViolation("role", access, name, needed)
    for guard in guards:
        if isinstance(guard, PrivilegeGuard) and guard.covers(access) and not asker.is_system:
            needed = guard.refuses(asker.role, access)
        elif isinstance(guard, InputGuard) and access is Access.WRITE:
            needed = _judge_input(guard, value)
        if needed is not None:
            return GuardViolation(guard.kind, access, name, needed)
    return None


def _judge_role(guards: Iterable[Guard], asker: Asker, access: Access) -> str | None:
    if access is Access.READ:
        return None
    about = [guard for guard in guards if isinstance(guard, RoleGuard) and guard.covers(access)]
    allowed = sorted({guard.role for guard in about if guard.grant == "allow"})
    if allowed and asker.world_role not in allowed:
        return f"the world role {' or '.join(allowed)}"
    if any(guard.grant == "disallow" and guard.role == asker.world_role for guard in about):
        return f"a world role other than {asker.world_role}"
    return None


def _judge_input(guard: InputGuard, value: Any) -> str | None:
    if guard.operator is None:
        return "nothing, it takes no values from callers"
    if compare(guard.operator, value, guard.operand):
        return None
    return f"a value {guard.operator} {_shown(guard.operand)}"


def conditions_of(guards: Iterable[Guard], name: str) -> tuple[Condition, ...]:
    """What must be so in the model's state when ``name`` is written."""
    found: list[Condition] = []
    for guard in guards:
        if not isinstance(guard, OverwriteGuard | RelativeGuard):
            continue
        matched = guard.match(names_of(name))
        if matched is None:
            continue
        if isinstance(guard, OverwriteGuard):
            found.append(Condition(guard.kind, name, matched, "==", guard.initial))
        else:
            found.append(Condition(guard.kind, name, guard.key, guard.operator, guard.value))
    return tuple(found)


def judge_current(conditions: Iterable[Condition], values: Mapping[str, Any] | None) -> GuardViolation | None:
    """The first condition that does not hold; ``values`` by reference, None if they cannot be read."""
    for condition in conditions:
        needed = f"{condition.reference} {condition.operator} {_shown(condition.operand)}"
        if values is None:
            needed += ", and its value cannot be read"
        elif compare(condition.operator, values.get(condition.reference), condition.operand):
            continue
        return GuardViolation(condition.kind, Access.WRITE, condition.name, needed)
    return None


_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def compare(operator: str, left: Any, right: Any) -> bool:
    """Whether ``left`` stands in ``operator`` to ``right``; what cannot be ordered does not."""
    if operator in ("==", "!="):
        return _same(left, right) is (operator == "==")
    if operator in ("in", "not in"):
        return any(_same(left, item) for item in right) is (operator == "in")
    if isinstance(left, str) is not isinstance(right, str):
        return False
    if isinstance(left, bool) or not isinstance(left, int | float | str):
        return False
    return _ORDERS[operator](left, right)


def _same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; true is not 1."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
