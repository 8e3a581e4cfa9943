r"""Queries over runs: the filter grammar, its syntax tree, and which runs a tree matches.

    filter    = item { ";" item }                       all must hold
    item      = "(" filter ")" | "[" filter "]" | condition      "[ ]": one must hold
    condition = ("run." | "var." | "meta.") name operator value
    operator  = "=" "!=" ">" ">=" "<" "<=" "|=" "~=" "!~=" "*="

Names and values may be quoted ("…", with \" and \\); a quoted value is a text and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from worker.runs.checks import Check, passes
from worker.runs.comparison import Comparable, Literal, Operator, comparable, matches, ordered
from worker.runs.fields import Field, Sought
from worker.runs.record import RunRecord


class Kind(StrEnum):
    """What an attribute of a run is."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a run that can be asked for; ``read`` gives times in microseconds."""

    name: str
    kind: Kind
    read: Callable[[RunRecord], Any]


def _field(name: str, kind: Kind, field: str | None = None) -> Attribute:
    return Attribute(name, kind, lambda run: getattr(run, field or name))


def _inside(name: str, field: str) -> Attribute:
    return Attribute(name, Kind.TEXT, lambda run: (getattr(run, field) or {}).get(name))


ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    attribute.name: attribute
    for attribute in (
        *(
            _field(name, Kind.TEXT)
            for name in ("run_key", "model_file", "model_language", "model_fingerprint")
        ),
        *(_field(name, Kind.TEXT) for name in ("morphology", "tracking_key", "grammar", "cloned_from")),
        *(_field(name, Kind.NUMBER) for name in ("model_version", "seq")),
        *(_field(name, Kind.FLAG) for name in ("marked", "hidden", "closed")),
        *(_field(name, Kind.FLAG) for name in ("allow_channel", "ephemeral", "perpetual")),
        *(_field(name, Kind.TIME, f"{name}_us") for name in ("created", "last_modified", "last_operated")),
        *(_inside(name, "scope") for name in ("scope_boundary", "scope_key", "user_key")),
        *(_inside(name, "permit") for name in ("read_lock", "write_lock")),
        *(_inside(name, "address") for name in ("account_short_name", "project_short_name")),
        *(_inside(name, "address") for name in ("group_name", "episode_name", "world_key")),
    )
}
"""By their names in Python; a filter may also spell them as Epicenter does (``trackingKey``)."""


class Source(StrEnum):
    """Where a condition looks."""

    RUN = "run"
    VARIABLE = "var"
    METADATA = "meta"


@dataclass(frozen=True, slots=True)
class Test:
    """A condition. For ``run`` the literal has been read as the kind of the attribute (a time: ``at_ms``)."""

    source: Source
    name: str
    operator: Operator
    wanted: Literal


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition on what a path leads to in a field of the profile."""

    field: Field
    check: Check
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where a condition does not, also where there is nothing to compare."""

    test: "Node"


@dataclass(frozen=True, slots=True)
class Every:
    """Holds where all parts do; without parts, always."""

    parts: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Some:
    """Holds where one part does; without parts, never."""

    parts: tuple["Node", ...]


Node = Test | Asked | Not | Every | Some

EVERYTHING: Final = Every()
NOTHING: Final = Some(())
"""What no run is."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """An attribute to sort by; what has none comes before everything else, after it where ``descending``."""

    attribute: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What to look for among the runs of one project, and which part of it to give.

    ``first`` counts from 0. ``variables`` and ``metadata``: names to give with each run, None for none at all.
    A page ends before what it gives of them exceeds ``max_bytes``, but not before its first run. Runs that the
    sort leaves in a tie are in the order of their keys, which is that of their creation.
    """

    where: Node = Every()
    sort: tuple[SortKey, ...] = ()
    first: int = 0
    count: int = 100
    variables: tuple[str, ...] | None = None
    metadata: tuple[str, ...] | None = None
    max_bytes: int = 2**63 - 1
    project: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A run as conditions see it; the functions give what a recorded value counts as.

    ``sought``: for conditions on its profile; a query without any needs none.
    """

    run: RunRecord
    variable: Callable[[str], Comparable]
    metadata: Callable[[str], Comparable]
    sought: Sought | None = None


def holds(node: Node, subject: Subject) -> bool:
    """Whether a run is what a tree asks for."""
    match node:
        case Test():
            return _holds(node, subject)
        case Asked():
            return subject.sought is not None and passes(
                node.check, node.field.read(subject.sought), node.path
            )
        case Not():
            return not holds(node.test, subject)
        case Every():
            return all(holds(part, subject) for part in node.parts)
        case Some():
            return any(holds(part, subject) for part in node.parts)


def _holds(test: Test, subject: Subject) -> bool:
    if test.source is Source.VARIABLE:
        return matches(subject.variable(test.name), test.operator, test.wanted)
    if test.source is Source.METADATA:
        return matches(subject.metadata(test.name), test.operator, test.wanted)
    attribute = ATTRIBUTES[test.name]
    value = attribute.read(subject.run)
    if attribute.kind is Kind.TIME and value is not None and test.operator is not Operator.EXISTS:
        return ordered(value // 1000, test.operator, test.wanted.at_ms)
    if (
        attribute.kind is Kind.TEXT
        and value is not None
        and test.operator not in (Operator.EXISTS, Operator.LIKE)
    ):
        return ordered(value, test.operator, test.wanted.text)
    if attribute.kind is Kind.TEXT and test.operator is Operator.LIKE and value is not None:
        return matches(value, test.operator, test.wanted)
    return matches(comparable(value), test.operator, test.wanted)


def sort_runs(runs: list[RunRecord], keys: tuple[SortKey, ...]) -> list[RunRecord]:
    """In the order of the keys, ties by run key."""
    found = sorted(runs, key=lambda run: run.run_key)
    for key in reversed(keys):
        read = ATTRIBUTES[key.attribute].read
        found.sort(key=lambda run, read=read: _with_nothing_first(read(run)), reverse=key.descending)  # type: ignore[misc]  # mypy has no type for a default of a lambda
    return found


def _with_nothing_first(value: Any) -> tuple[bool, Any]:
    return (value is not None, 0 if value is None else value)
