"""How filters compare: what a recorded value counts as, and which values a literal of a filter matches.

A value is a number, a flag, a text, or only *there*: lists, maps, and texts that are too long or hold a NUL.
null and absent are the same: nothing is there. The type of the value decides, never a coercion of it.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from worker.channel import ChannelError, unpack

MAX_TEXT: Final = 1024
"""Characters of the longest text that is compared; an index that repeated longer ones would double a log."""


class Opaque:
    """What is there but cannot be compared."""


OPAQUE: Final = Opaque()
Comparable = int | float | str | bool | Opaque | None
"""Integers fit 64 bits, signed; floats are no NaN; texts are at most ``MAX_TEXT`` characters without NUL."""


class Operator(StrEnum):
    """What remains of the operators of the grammar: the others are negations or lists of these."""

    EQUAL = "="
    MORE = ">"
    AT_LEAST = ">="
    LESS = "<"
    AT_MOST = "<="
    LIKE = "~="
    EXISTS = "*="


ORDERING: Final = frozenset({Operator.MORE, Operator.AT_LEAST, Operator.LESS, Operator.AT_MOST})


@dataclass(frozen=True, slots=True)
class Literal:
    """The right side of a condition: its text, and what else it may be read as. ``at_ms`` is since 1970."""

    text: str
    number: int | float | None = None
    truth: bool | None = None
    at_ms: int | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is nothing but a text."""
        return self.number is None and self.truth is None and self.at_ms is None


_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.(?:\d{3}|\d{6}))?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII
)
_MAX_EXACT_DIGITS: Final = 19
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


# First bytes of msgpack: small integers, then null, flags, floats and integers; short and long texts.
_SCALARS: Final = frozenset([*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3, *range(0xCA, 0xD4)])
_TEXTS: Final = frozenset([*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB])
_NEVER_USED: Final = 0xC1
_MAX_TEXT_BYTES: Final = 4 * MAX_TEXT + 5


def literal(text: str) -> Literal:
    """What an unquoted word may be read as; a quoted one is ``Literal(text)``."""
    if text in ("true", "false"):
        return Literal(text, truth=text == "true")
    if _NUMBER.fullmatch(text):
        digits = text.lstrip("+-")
        exact = digits.isdigit() and len(digits) <= _MAX_EXACT_DIGITS
        return Literal(text, number=_number(int(text) if exact else float(text)))
    return Literal(text, at_ms=instant_ms(text))


def instant_ms(text: str) -> int | None:
    """Milliseconds since 1970 of an ISO-8601 date or time (UTC where it names no zone), rounded down; else None."""
    if not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        return None


def _number(value: float) -> int | float | None:
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value)
    return None if math.isnan(value) else value


def comparable(value: Any) -> Comparable:
    """What a JSON value counts as."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value:
        return value
    return OPAQUE


def comparable_of(packed: bytes) -> Comparable:
    """What a msgpack value counts as, without decoding more than a text of interest; never raises."""
    head = packed[0] if packed else _NEVER_USED
    if not (head in _SCALARS or (head in _TEXTS and len(packed) <= _MAX_TEXT_BYTES)):
        return OPAQUE
    try:
        return comparable(unpack(packed))
    except ChannelError:
        return OPAQUE


def matches(value: Comparable, operator: Operator, wanted: Literal) -> bool:
    """Whether a value is what a condition asks for."""
    if operator is Operator.EXISTS:
        return value is not None
    if isinstance(value, str):
        return _text_matches(value, operator, wanted)
    if isinstance(value, bool):
        return operator is Operator.EQUAL and value is wanted.truth
    if isinstance(value, (int, float)):
        return wanted.number is not None and ordered(value, operator, wanted.number)
    return False


def _text_matches(value: str, operator: Operator, wanted: Literal) -> bool:
    if operator is Operator.LIKE:
        return like(value, wanted.text)
    if wanted.at_ms is not None:
        at_ms = instant_ms(value)
        return at_ms is not None and ordered(at_ms, operator, wanted.at_ms)
    return (operator is Operator.EQUAL or wanted.is_text) and ordered(value, operator, wanted.text)


def ordered(left: Any, operator: Operator, right: Any) -> bool:
    """Compare two values of one kind; texts by code point."""
    match operator:
        case Operator.EQUAL:
            return bool(left == right)
        case Operator.MORE:
            return bool(left > right)
        case Operator.AT_LEAST:
            return bool(left >= right)
        case Operator.LESS:
            return bool(left < right)
        case Operator.AT_MOST:
            return bool(left <= right)
        case _:
            return False


def like(value: str, pattern: str) -> bool:
    """Whether a text is of the form of a pattern, in which ``*`` stands for any characters, also none.

    Case counts. Takes no longer than length times length: between the ends each part is found where it comes first.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return value == pattern
    *middle, last = rest
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
