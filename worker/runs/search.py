"""What is asked about runs by their profiles: fields of a search to a query, the order of what it finds, and counts.

A phrase of full text:

    query = term { term }                                    all must hold
    term  = word | '"' words '"' | field ":" (value | '"' value '"')
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.entities import RunStatus
from protocol.profiles import Order, SearchQuery
from worker.runs.checks import MISSING, OneOf, Ranged, Within, is_number, within_64_bits
from worker.runs.comparison import MAX_TEXT, Operator, instant_ms
from worker.runs.fields import ALIASES, COUNTED, FIELDS, Place, Sought, counted_place, refusal
from worker.runs.query import EVERYTHING, Asked, Every, Node, Not, Some, Subject, holds
from worker.runs.record import RunRecord
from worker.runs.words import phrase, words_in

MAX_BUCKETS: Final = 100
"""Values of a facet that are told; the others are mentioned."""
NO_REASON: Final = "none"
"""Asks for runs without a reason to have finished."""
SORTED: Final[Mapping[str, str]] = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "name": "name",
    "status": "status",
    "execution_time": "execution_seconds",
}
LARGE: Final = ("parameters", "result", "result_schema", "context", "course")
"""Fields of a profile that are not read unless they are asked for."""
_TERM: Final = re.compile(
    r'\s*(?:(?P<field>[A-Za-z_][\w.-]*):)?(?:"(?P<quoted>[^"]*)"|(?P<word>[^\s"]+))(?=\s|$)'
)
_TERM_FIELDS: Final = ("name", "tag", "config", *COUNTED)
_RESERVED: Final = re.compile(r"(AND|OR|NOT)|[-+!].*|.*[*()\[\]{}^~].*")
_QUERY: Final = "query"

Scalar = int | float | str | bool | None
"""A value that is counted; None where a run has none that can be."""


@dataclass(frozen=True, slots=True)
class ProfileSort:
    """A field to sort by."""

    field: str
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose runs can be seen: those with one of these read locks, and of a user's own those with others too."""

    locks: frozenset[str]
    user_key: str | None = None
    own_locks: frozenset[str] = frozenset()

    def sees(self, run: RunRecord) -> bool:
        """Whether a run may be told of."""
        lock = run.permit.get("read_lock")
        own = self.user_key is not None and run.scope.get("user_key") == self.user_key
        return lock in self.locks or (own and lock in self.own_locks)

    @property
    def own_only(self) -> "Reader | None":
        """Who sees what is seen only because it is the user's own; None where there can be nothing like that."""
        more = self.own_locks - self.locks
        return Reader(frozenset(), self.user_key, more) if self.user_key is not None and more else None


@dataclass(frozen=True, slots=True)
class ProfileQuery:
    """Which runs of a project to find by their profiles, and which part of them to give.

    ``reader``: only what may be seen; None for all. ``test``: only runs that are tests, only others, or both (None).
    Ties of the sort come in the order of the keys, the greatest first. ``whole``: with the ``LARGE`` fields of
    profiles too. A page ends before what it carries exceeds ``max_bytes``, but not before its first run.
    """

    where: Node = EVERYTHING
    reader: Reader | None = None
    test: bool | None = False
    sort: tuple[ProfileSort, ...] = (ProfileSort("updated_at"),)
    first: int = 0
    count: int = 100
    whole: bool = False
    max_bytes: int = 2**63 - 1
    project: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """How often the values of a field occur, most often first; ``truncated``: there are others."""

    buckets: tuple[tuple[Scalar, int], ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """How many runs match, and how often the values of each field occur among them, in the order asked for."""

    total: int
    facets: tuple[Counted, ...]


def search_tree(query: SearchQuery) -> Node:
    """What the fields of a search ask for, but ``test``.

    Raises:
        RequestError: INVALID_FILTER.
    """
    parts: list[Node] = []
    if query.name is not None:
        parts.append(_within("name", query.name))
    for name, wanted in _lists(query):
        if wanted is not None:
            parts.append(_one_of(name, wanted))
    parts += [_one_of("tags", [tag]) for tag in query.tags or ()]
    if query.exclude_tags:
        parts.append(Not(_one_of("tags", query.exclude_tags)))
    if query.run_ids is not None:
        parts.append(Some((_one_of("run_key", query.run_ids), _one_of("run_id", query.run_ids))))
    if query.parent is not None:
        parts.append(_one_of("parent", [None] if query.parent is False else query.parent))
    if query.start is not None:
        parts.append(_since(query.start, Operator.AT_LEAST, f"{_QUERY}.start"))
    if query.end is not None:
        parts.append(_since(query.end, Operator.AT_MOST, f"{_QUERY}.end"))
    for key, text in (query.metadata or {}).items():
        parts.append(_metadata(key, text, f"{_QUERY}.metadata.{key}"))
    if query.query is not None:
        parts += full_text(query.query)
    return Every(tuple(parts))


def _lists(query: SearchQuery) -> Iterable[tuple[str, Sequence[Any] | None]]:
    reasons = query.finish_reason
    return (
        ("status", None if query.status is None else [status.value for status in query.status]),
        ("interaction", query.interaction),
        ("environment", query.environment),
        ("model", query.model),
        ("tags", query.any_tags),
        ("object", None if query.object is None else [query.object]),
        ("finish_reason", None if reasons is None else [None if it == NO_REASON else it for it in reasons]),
        ("created_by", query.created_by),
        ("config.id", query.config),
        ("run_key", query.run_keys),
    )


def full_text(text: str) -> list[Node]:
    """The conditions of a query in words.

    Raises:
        RequestError: INVALID_FILTER, with ``position`` in characters from 0.
    """
    parts: list[Node] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TERM.match(text, at)
        where = f"{_QUERY}.query, position {at}"
        if found is None:
            raise refusal(
                where,
                text[at:].split()[0],
                'words, "words in a row" or field:value, with spaces between them',
            )
        parts.append(_term(found, where))
        at = found.end()
    return parts


def _term(found: re.Match[str], where: str) -> Node:
    field, quoted, word = found["field"], found["quoted"], found["word"]
    value = word if quoted is None else quoted
    if field is not None:
        return _field_term(field, value, where)
    if quoted is None and (_RESERVED.fullmatch(word) or ":" in word):
        raise refusal(where, word, "a word; there are no operators and wildcards, put signs in quotes")
    words = words_in(value)
    if not words:
        raise refusal(where, value, "letters or digits")
    return Asked(FIELDS["words"], Within(phrase(words)))


def _field_term(field: str, value: str, where: str) -> Node:
    name = ALIASES.get(field, field)
    if name == "name":
        return _within("name", value)
    if name == "finish_reason" and value == NO_REASON:
        return _one_of(name, [None])
    if name == "status" and value not in set(RunStatus):
        raise refusal(where, value, f"a status: {', '.join(RunStatus)}")
    if name in ("tag", "config"):
        return _one_of({"tag": "tags", "config": "config.id"}[name], [value])
    if name in COUNTED:
        return _one_of(name, [value])
    if field.startswith("metadata."):
        return _metadata(field.removeprefix("metadata."), value, where)
    raise refusal(where, field, f"one of {', '.join(_TERM_FIELDS)}, metadata.<key>; or quote the word")


def _within(name: str, text: str) -> Node:
    return Asked(FIELDS[name], Within(text.casefold()))


def _one_of(name: str, values: Sequence[Any]) -> Node:
    return Asked(FIELDS[name], OneOf(tuple(values)))


def _since(text: str, operator: Operator, where: str) -> Node:
    at_ms = instant_ms(text)
    if at_ms is None:
        raise refusal(
            where, text, "an ISO-8601 time such as 2026-01-31T12:00:00.000Z, UTC where it names no zone"
        )
    return Asked(FIELDS["created_at"], Ranged(operator, at_ms))


def _metadata(key: str, text: str, where: str) -> Node:
    """A text is what it is, and the number or flag that it is the JSON text of."""
    if "\0" in text:
        raise refusal(where, "\\0", "a text without NUL characters")
    return Asked(FIELDS["metadata"], OneOf((text, *_read_as(text))), (key,))


def _read_as(text: str) -> tuple[Any, ...]:
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return ()
    return (within_64_bits(value),) if isinstance(value, bool) or is_number(value) else ()


def sort_of(orders: Sequence[Order] | None) -> tuple[ProfileSort, ...]:
    """The fields to sort by; by the last change, the newest first, unless they are named.

    Raises:
        RequestError: INVALID_FILTER.
    """
    keys = tuple(ProfileSort(SORTED[order.field], order.order == "desc") for order in orders or ())
    for number, key in enumerate(keys):
        if key.field in [earlier.field for earlier in keys[:number]]:
            raise refusal(f"sort[{number}]", key.field, "a field that was not named before")
    return keys or (ProfileSort("updated_at"),)


def facets_of(named: Sequence[tuple[str, str]]) -> dict[str, Place]:
    """What to count, by the names of the facets; ``named``: name and field of each.

    Raises:
        RequestError: INVALID_FILTER.
    """
    places: dict[str, Place] = {}
    for number, (name, field) in enumerate(named):
        if name == "total":
            raise refusal(f"facets[{number}].name", name, "another name; total is the number of runs")
        if name in places:
            raise refusal(f"facets[{number}].name", name, "a name that no other facet has")
        places[name] = counted_place(field, f"facets[{number}].field")
    return places


def sort_profiles(found: list[Sought], sort: Sequence[ProfileSort]) -> list[Sought]:
    """In the order of the fields, ties by run key, the greatest first."""
    found = sorted(found, key=lambda sought: sought.run.run_key, reverse=True)
    for key in reversed(sort):
        found.sort(key=_reading(key.field), reverse=key.descending)
    return found


def _reading(name: str) -> Any:
    if name in ("created_at", "updated_at"):
        attribute = {"created_at": "created_us", "updated_at": "last_modified_us"}[name]
        return lambda sought: getattr(sought.run, attribute)
    return FIELDS[name].read


def count_values(found: Iterable[Sought], place: Place) -> Counted:
    """How many of the runs have each value of a field; a run counts once for each of its different values."""
    counts: dict[tuple[int, Scalar], int] = {}
    for sought in found:
        for value in scalars(place.field.read(sought), place.path):
            counts[value] = counts.get(value, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    buckets = tuple((value, count) for (_, value), count in ordered[:MAX_BUCKETS])
    return Counted(buckets, len(ordered) > MAX_BUCKETS)


def matches(query: ProfileQuery, sought: Sought) -> bool:
    """Whether a run of the project is what a query asks for, by looking at it."""
    if query.test is not None and sought.profile.test is not query.test:
        return False
    if query.reader is not None and not query.reader.sees(sought.run):
        return False
    return holds(query.where, Subject(sought.run, _no_value, _no_value, sought))


def _no_value(_name: str) -> None:
    """Profiles are asked for what they hold; variables are not part of them."""


def scalars(value: Any, path: Sequence[str]) -> set[tuple[int, Scalar]]:
    """The different values that are counted of what a run has, each behind the rank of its type."""
    for key in path:
        value = value.get(key, MISSING)
    members = value if isinstance(value, (list, tuple)) else (value,)
    return {ranked for ranked in map(_ranked, members) if ranked[0]} or {(0, None)}


def _ranked(value: Any) -> tuple[int, Scalar]:
    """Numbers come before texts and texts before flags; 0: not counted, as comparisons of filters know it not."""
    if isinstance(value, bool):
        return (3, value)
    if is_number(value):
        number = within_64_bits(value)
        return (1, int(number) if number == number // 1 and abs(number) < 2**63 else number)
    if isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value:
        return (2, value)
    return (0, None)


def tests_asked(node: Node) -> bool:
    """Whether a query says itself which runs it means, tests or others."""
    match node:
        case Asked():
            return node.field.name == "test"
        case Not():
            return tests_asked(node.test)
        case Every() | Some():
            return any(tests_asked(part) for part in node.parts)
        case _:
            return False
