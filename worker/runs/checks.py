"""What a search asks of a value in a document, as MongoDB would: which values a path leads to, and when one will do.

A path goes through lists: of the maps in a list each is looked into, and a number is also a place in it. A list is
what it is and each of its members. Types are not converted: a number is never equal to, more or less than a text,
and true is no number. Null and what is not there are equal.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.runs.comparison import Operator, ordered


class Missing:
    """Stands for what is not there."""


MISSING: Final = Missing()
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True)
class OneOf:
    """Equal to one of these JSON values; lists and maps are equal where their JSON texts are."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ranged:
    """More or less than a number or a text."""

    operator: Operator
    value: int | float | str


@dataclass(frozen=True, slots=True)
class There:
    """There at all, also where it is null."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A list of so many members."""

    length: int


@dataclass(frozen=True, slots=True)
class Within:
    """A text that has this one, its case folded, somewhere in it."""

    text: str


Check = OneOf | Ranged | There | Sized | Within


def equal_to(value: Any) -> OneOf:
    """The check for one value."""
    return OneOf((value,))


def json_text(value: Any) -> str:
    """The JSON text of a value, as stores write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def place(segment: str) -> int | None:
    """The place in a list, from 0, that a part of a path names; None where it is only a name."""
    is_place = segment.isdecimal() and segment.isascii() and len(segment) < 10
    return int(segment) if is_place and segment == str(int(segment)) else None


def values_at(root: Any, path: Sequence[str]) -> Iterator[Any]:
    """What a path leads to; ``MISSING`` for each way that ends too early."""
    if not path:
        yield root
    elif isinstance(root, Mapping):
        yield from values_at(root[path[0]], path[1:]) if path[0] in root else (MISSING,)
    elif isinstance(root, (list, tuple)):
        for member in root:
            if isinstance(member, Mapping):
                yield from values_at(member, path)
        at = place(path[0])
        if at is not None and at < len(root):
            yield from values_at(root[at], path[1:])
    else:
        yield MISSING


def passes(check: Check, root: Any, path: Sequence[str]) -> bool:
    """Whether something that a path leads to will do."""
    return any(_does(check, value) for value in values_at(root, path))


def _does(check: Check, value: Any) -> bool:
    match check:
        case There():
            return value is not MISSING
        case Sized():
            return isinstance(value, (list, tuple)) and len(value) == check.length
        case Within():
            return isinstance(value, str) and check.text in value.casefold()
        case OneOf() | Ranged():
            members = value if isinstance(value, (list, tuple)) else ()
            return _is(check, value) or any(_is(check, member) for member in members)


def _is(check: OneOf | Ranged, value: Any) -> bool:
    if isinstance(check, OneOf):
        return any(same(value, wanted) for wanted in check.values)
    if isinstance(value, str) or isinstance(check.value, str):
        comparable = isinstance(value, str) and isinstance(check.value, str)
    else:
        comparable = is_number(value)
    return comparable and ordered(within_64_bits(value), check.operator, check.value)


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def within_64_bits(value: Any) -> Any:
    """A value, as a float where it is an integer of more than 64 bits."""
    return float(value) if isinstance(value, int) and not -_INT64 <= value < _INT64 else value


def same(value: Any, wanted: Any) -> bool:
    """Whether two JSON values are equal."""
    if wanted is None:
        return value is None or value is MISSING
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if is_number(wanted):
        return is_number(value) and within_64_bits(value) == wanted
    if isinstance(wanted, str) or isinstance(value, Missing):
        return isinstance(value, str) and value == wanted
    composite = isinstance(value, (list, tuple, Mapping))
    return composite and json_text(value) == json_text(wanted)
