"""Documents of operators to queries: the part of MongoDB's filters that can be asked of runs, and no more.

    document = { key: ... }                                              all must hold
    key      = "$and" | "$or" | "$nor" : [document, ...]  |  field : value  |  field : { operator: ... }
    operator = "$eq" "$ne" "$gt" "$gte" "$lt" "$lte" "$in" "$nin" "$exists" "$all" "$size" "$not"

Every error is an INVALID_FILTER with ``field`` ("filter"), ``path`` (the place in the document), ``token`` and
``expected``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from worker.runs.checks import Check, OneOf, Ranged, Sized, There, is_number, json_text, within_64_bits
from worker.runs.comparison import Operator, instant_ms
from worker.runs.fields import FieldKind, Place, place_of, refusal
from worker.runs.query import NOTHING, Asked, Every, Node, Not, Some

MAX_NESTING: Final = 8
"""Documents and ``$not`` within each other."""
MAX_NODES: Final = 100
"""Operators, implicit ones and each value of ``$all`` counted."""
MAX_LISTED: Final = 500
"""Values of one ``$in``, ``$nin`` or ``$all``."""
MAX_BYTES: Final = 65_536
"""Of the document's JSON text."""

_ROOT: Final = "filter"
_INT64: Final = 2**63
_JOINING: Final = ("$and", "$or", "$nor")
_RANGES: Final = {
    "$gt": Operator.MORE,
    "$gte": Operator.AT_LEAST,
    "$lt": Operator.LESS,
    "$lte": Operator.AT_MOST,
}
_OPERATORS: Final = (*("$eq", "$ne"), *_RANGES, *("$in", "$nin", "$exists", "$all", "$size", "$not"))


def parse_document(document: Mapping[str, Any]) -> Node:
    """The query that a document is; an empty one matches every run.

    Raises:
        RequestError: INVALID_FILTER.
    """
    size = len(json_text(document).encode())
    if size > MAX_BYTES:
        raise refusal(_ROOT, f"{size} bytes", f"at most {MAX_BYTES} bytes of JSON")
    return _Reader().document(document, _ROOT, 1)


class _Reader:
    """How much of what a document may hold was read."""

    def __init__(self) -> None:
        self._nodes = 0
        self._handlers: Mapping[str, Callable[[Place, Any, str, int], Node]] = {
            "$eq": self._equal,
            "$ne": lambda *given: Not(self._equal(*given)),
            "$in": self._one_of,
            "$nin": lambda *given: Not(self._one_of(*given)),
            "$exists": self._exists,
            "$all": self._all,
            "$size": self._size,
            "$not": self._not,
        }

    def document(self, document: Any, where: str, nesting: int) -> Node:
        """All that a document asks for."""
        if not isinstance(document, Mapping):
            raise refusal(where, type(document).__name__, "a document: a map of fields and operators")
        if nesting > MAX_NESTING:
            raise refusal(where, str(nesting), f"at most {MAX_NESTING} documents within each other")
        parts = [self._item(key, value, f"{where}.{key}", nesting) for key, value in document.items()]
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _item(self, key: str, value: Any, where: str, nesting: int) -> Node:
        if key in _JOINING:
            return self._joined(key, value, where, nesting)
        if key.startswith("$"):
            raise refusal(
                where,
                key,
                f"a field, or one of {', '.join(_JOINING)}; no other operator stands before fields",
            )
        place = place_of(key, where)
        if isinstance(value, Mapping) and any(name.startswith("$") for name in value):
            return self._operators(place, value, where, nesting)
        self._count(where)
        return self._equal(place, value, where, nesting)

    def _joined(self, key: str, value: Any, where: str, nesting: int) -> Node:
        self._count(where)
        if not isinstance(value, list) or not value:
            raise refusal(where, key, "a list of at least one document")
        parts = tuple(
            self.document(part, f"{where}[{number}]", nesting + 1) for number, part in enumerate(value)
        )
        if key == "$and":
            return Every(parts)
        return Some(parts) if key == "$or" else Every(tuple(Not(part) for part in parts))

    def _operators(self, place: Place, operators: Mapping[str, Any], where: str, nesting: int) -> Node:
        parts = []
        for name, value in operators.items():
            within = f"{where}.{name}"
            self._count(within)
            if name in _RANGES:
                parts.append(self._range(place, _RANGES[name], value, within))
            elif name in self._handlers:
                parts.append(self._handlers[name](place, value, within, nesting))
            else:
                raise refusal(within, name, f"one of {', '.join(_OPERATORS)}")
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _equal(self, place: Place, value: Any, where: str, _nesting: int) -> Node:
        return _asked(place, OneOf((_literal(place, value, where),)))

    def _one_of(self, place: Place, value: Any, where: str, _nesting: int) -> Node:
        return _asked(place, OneOf(self._listed(place, value, where)))

    def _listed(self, place: Place, value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise refusal(where, type(value).__name__, "a list of values")
        if len(value) > MAX_LISTED:
            raise refusal(where, str(len(value)), f"at most {MAX_LISTED} values")
        return tuple(_literal(place, item, f"{where}[{number}]") for number, item in enumerate(value))

    def _range(self, place: Place, operator: Operator, value: Any, where: str) -> Node:
        wanted = _literal(place, value, where)
        if not (is_number(wanted) or isinstance(wanted, str)):
            raise refusal(where, str(wanted), "a number or a text; nothing else is more or less than another")
        return _asked(place, Ranged(operator, wanted))

    def _exists(self, place: Place, value: Any, where: str, _nesting: int) -> Node:
        if not isinstance(value, bool):
            raise refusal(where, str(value), "true or false")
        there = _asked(place, There())
        return there if value else Not(there)

    def _size(self, place: Place, value: Any, where: str, _nesting: int) -> Node:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _INT64:
            raise refusal(where, str(value), "a number of members, 0 or more")
        return _asked(place, Sized(value))

    def _all(self, place: Place, value: Any, where: str, _nesting: int) -> Node:
        wanted = self._listed(place, value, where)
        for _ in wanted[1:]:
            self._count(where)
        return Every(tuple(_asked(place, OneOf((one,))) for one in wanted)) if wanted else NOTHING

    def _not(self, place: Place, value: Any, where: str, nesting: int) -> Node:
        if not isinstance(value, Mapping) or not value:
            raise refusal(where, "$not", "a map of operators, as in {$not: {$gt: 5}}")
        if nesting >= MAX_NESTING:
            raise refusal(where, str(nesting), f"at most {MAX_NESTING} documents within each other")
        return Not(self._operators(place, value, where, nesting + 1))

    def _count(self, where: str) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise refusal(where, str(self._nodes), f"at most {MAX_NODES} conditions and operators")


def _asked(place: Place, check: Check) -> Asked:
    return Asked(place.field, check, place.path)


def _literal(place: Place, value: Any, where: str) -> Any:
    """A value of a document as it is compared; moments in milliseconds."""
    _refuse_operators(value, where)
    if place.field.kind is not FieldKind.MOMENT or value is None:
        return within_64_bits(value)
    at_ms = instant_ms(value) if isinstance(value, str) else None
    if at_ms is None:
        raise refusal(where, str(value), "an ISO-8601 time such as 2026-01-31T12:00:00.000Z")
    return at_ms


def _refuse_operators(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key.startswith("$"):
                raise refusal(
                    f"{where}.{key}", key, "a value; operators stand directly below a field, and alone"
                )
            _refuse_operators(part, f"{where}.{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            _refuse_operators(part, f"{where}[{number}]")
    elif isinstance(value, str) and "\0" in value:
        raise refusal(where, "\\0", "a text without NUL characters")
