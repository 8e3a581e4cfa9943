"""Text to query: a recursive descent over the filter grammar of ``worker.runs.query``, and the list to sort by.

Every error is an INVALID_FILTER with ``field``, ``position`` (characters from 0), ``token`` and ``expected``.
"""

import re
from difflib import get_close_matches
from typing import Final, Never

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.runs.comparison import ORDERING, Literal, Operator, literal
from worker.runs.query import ATTRIBUTES, Every, Kind, Node, Not, Some, SortKey, Source, Test

MAX_CONDITIONS: Final = 200
"""Conditions of one filter, each listed value of ``|=`` counted."""
MAX_NESTING: Final = 16
"""Groups within groups."""
MAX_SHOWN: Final = 60
"""Characters of a token that an error repeats."""

_SPACE: Final = re.compile(r"\s*")
_OPERATOR: Final = re.compile(r"!~=|!=|>=|<=|\|=|~=|\*=|=|>|<")
_NAME: Final = re.compile(r"[^;()\[\]{}\"=!<>|~*\s]+")
_WORD: Final = re.compile(r"[^;()\[\]{}\"]+")
_LISTED: Final = re.compile(r"[^;()\[\]{}\"|]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"', re.DOTALL)
_TOKEN: Final = re.compile(r"[^;()\[\]{}\s]+|\S")
_PREFIX: Final = re.compile(r"(run|var|meta)\.")
_CLOSING: Final = {"(": ")", "[": "]"}
_NEGATED: Final = {"!=": Operator.EQUAL, "!~=": Operator.LIKE}
_NULL: Final = "null"
_AS_KIND: Final = {
    Kind.NUMBER: ("number", "a number"),
    Kind.FLAG: ("truth", "true or false"),
    Kind.TIME: ("at_ms", "an ISO-8601 time such as 2026-01-31T12:00:00.000Z"),
}
_LIVE: Final = frozenset({"run_state", "status", "live", "sandbox"})


def parse_filter(text: str) -> Node:
    """The tree of a filter; an empty one matches every run.

    Raises:
        RequestError: INVALID_FILTER.
    """
    scanner = _Scanner("filter", text)
    if scanner.at_end():
        return Every()
    node = scanner.items(0)
    if not scanner.at_end():
        scanner.refuse('";" or the end of the filter')
    return node


def parse_sort(text: str) -> tuple[SortKey, ...]:
    """The keys of a list such as ``+run.created;-run.trackingKey``; a sign left out means ``+``.

    Raises:
        RequestError: INVALID_FILTER.
    """
    scanner = _Scanner("sort", text)
    keys: list[SortKey] = []
    while not scanner.at_end():
        if keys:
            scanner.need(";")
        descending = scanner.take("-")
        if not descending:
            scanner.take("+")
        scanner.skip()
        start = scanner.position
        if not scanner.take("run."):
            scanner.refuse("an attribute of the run, as in -run.created (nothing else is sorted by)")
        attribute = scanner.attribute()
        if any(key.attribute == attribute for key in keys):
            scanner.refuse("an attribute that was not named before", start)
        keys.append(SortKey(attribute, descending))
    return tuple(keys)


class _Scanner:
    """A text and how far it was read."""

    def __init__(self, field: str, text: str) -> None:
        self._field = field
        self._text = text
        self._conditions = 0
        self.position = 0

    def refuse(self, expected: str, position: int | None = None) -> Never:
        """Raise the error for what stands at ``position``, or here."""
        if position is None:
            self.skip()
            position = self.position
        found = _TOKEN.match(self._text, position)
        token = found[0] if found else ""
        shown = token if len(token) <= MAX_SHOWN else f"{token[:MAX_SHOWN]}…"
        at = f"at {shown!r}" if shown else "at the end"
        raise RequestError(
            ErrorCode.INVALID_FILTER,
            f"{self._field}, position {position}, {at}: expected {expected}",
            field=self._field,
            position=position,
            token=shown,
            expected=expected,
        )

    def skip(self) -> None:
        """Go to the next character that is no space."""
        found = _SPACE.match(self._text, self.position)
        self.position = found.end() if found else self.position

    def at_end(self) -> bool:
        """Whether nothing but space is left."""
        self.skip()
        return self.position == len(self._text)

    def take(self, symbol: str) -> bool:
        """Go over a symbol, if it stands here."""
        self.skip()
        if not self._text.startswith(symbol, self.position):
            return False
        self.position += len(symbol)
        return True

    def need(self, symbol: str) -> None:
        """Go over a symbol that must stand here."""
        if not self.take(symbol):
            self.refuse(f'"{symbol}"')

    def items(self, nesting: int) -> Node:
        """A list of items, all of which must hold."""
        return _joined(Every, self._listed(nesting))

    def _listed(self, nesting: int) -> list[Node]:
        parts = [self._item(nesting)]
        while self.take(";"):
            parts.append(self._item(nesting))
        return parts

    def _item(self, nesting: int) -> Node:
        self.skip()
        start = self.position
        opening = self._text[start : start + 1]
        if opening == "{":
            self.refuse("( ) where all must hold or [ ] where one must; groups in { } have no known meaning")
        if opening not in _CLOSING:
            return self._condition()
        if nesting == MAX_NESTING:
            self.refuse(f"at most {MAX_NESTING} groups within each other")
        self.position += 1
        parts = self._listed(nesting + 1)
        if not self.take(_CLOSING[opening]):
            self.refuse(f'";" or "{_CLOSING[opening]}" for the "{opening}" at position {start}')
        return _joined(Every if opening == "(" else Some, parts)

    def _condition(self) -> Node:
        prefix = _PREFIX.match(self._text, self.position)
        if prefix is None:
            self.refuse('a condition that begins with "run.", "var." or "meta.", or a group "(" or "["')
        self.position = prefix.end()
        source = Source(prefix[1])
        name = self.attribute() if source is Source.RUN else self._name()
        self.skip()
        at = self.position
        found = _OPERATOR.match(self._text, at)
        if found is None:
            self.refuse("one of = != > >= < <= |= ~= !~= *=")
        self.position = found.end()
        if found[0] == "|=":
            return self._one_of(source, name, at)
        return self._test(source, name, found[0], at, self._value(_WORD))

    def _name(self) -> str:
        quoted = self._quoted()
        if quoted:
            return quoted
        found = _NAME.match(self._text, self.position)
        if quoted is not None or found is None:
            self.refuse("a name")
        self.position = found.end()
        return found[0]

    def attribute(self) -> str:
        """The name of an attribute of the run, in snake case."""
        start = self.position
        given = self._name()
        name = re.sub(r"([A-Z])", lambda letter: f"_{letter[0].lower()}", given)
        if name in _LIVE:
            self.refuse("a stored attribute; what a run does now is told with each run, not asked for", start)
        if name not in ATTRIBUTES:
            self.refuse(_an_attribute_like(name), start)
        return name

    def _quoted(self) -> str | None:
        if not self._text.startswith('"', self.position):
            return None
        found = _QUOTED.match(self._text, self.position)
        if found is None:
            self.refuse('a closing quote; within quotes only \\" and \\\\ are escapes')
        self.position = found.end()
        return re.sub(r"\\(.)", r"\1", found[1])

    def _value(self, word: re.Pattern[str]) -> Literal | None:
        """The next value; None for null."""
        self.skip()
        quoted = self._quoted()
        if quoted is not None:
            return Literal(quoted)
        found = word.match(self._text, self.position)
        text = found[0].strip() if found else ""
        if found is None or not text:
            self.refuse('a value; quote it where it holds ; ( ) [ ] { } or a quote, "" is the empty text')
        self.position = found.end()
        return None if text == _NULL else literal(text)

    def _one_of(self, source: Source, name: str, at: int) -> Node:
        parts = [self._test(source, name, "=", at, self._value(_LISTED))]
        while self.take("|"):
            parts.append(self._test(source, name, "=", at, self._value(_LISTED)))
        return _joined(Some, parts)

    def _test(self, source: Source, name: str, symbol: str, at: int, wanted: Literal | None) -> Node:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            self.refuse(f"at most {MAX_CONDITIONS} conditions, listed values counted", at)
        operator = _NEGATED.get(symbol) or Operator(symbol)
        if wanted is None and operator is not Operator.EQUAL:
            self.refuse("= or != before null", at)
        if operator is Operator.EXISTS and (wanted is None or wanted.truth is None):
            self.refuse("true or false after *=, which asks whether there is a value", at)
        if source is Source.RUN and wanted is not None and operator is not Operator.EXISTS:
            self._check_kind(ATTRIBUTES[name].kind, operator, wanted, at)
        if wanted is None or operator is Operator.EXISTS:
            there = Test(source, name, Operator.EXISTS, Literal("true", truth=True))
            absent = symbol == "=" if wanted is None else not wanted.truth
            return Not(there) if absent else there
        if operator in ORDERING and wanted.truth is not None and source is not Source.RUN:
            self.refuse("= or != before true and false", at)
        test = Test(source, name, operator, wanted)
        return Not(test) if symbol in _NEGATED else test

    def _check_kind(self, kind: Kind, operator: Operator, wanted: Literal, at: int) -> None:
        if kind is Kind.TEXT:
            return
        reading, called = _AS_KIND[kind]
        if operator is Operator.LIKE or (kind is Kind.FLAG and operator in ORDERING):
            self.refuse(f"another operator; the attribute is {called}", at)
        if getattr(wanted, reading) is None:
            self.refuse(f"{called} on the right", at)


def _an_attribute_like(name: str) -> str:
    close = get_close_matches(name[:MAX_SHOWN], ATTRIBUTES, n=3)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    return f"an attribute of the run; {hint}known: {', '.join(ATTRIBUTES)}"


def _joined(kind: type[Every] | type[Some], parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))
