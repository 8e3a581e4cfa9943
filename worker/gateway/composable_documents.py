"""Documents of operators in this API's names, statuses and people, turned into the worker's.

What is no field or operator is passed on as it is: the worker refuses it by name.
"""

from collections.abc import Callable
from typing import Any, Final

from protocol.entities import RUN_KEY
from worker.gateway.composable_filters import without_kind
from worker.gateway.composable_views import DEFAULT_FOUND, FIELDS, LARGE
from worker.gateway.faults import incomprehensible
from worker.gateway.vocabulary import statuses_of

_ALL: Final = ("$and", "$or", "$nor")
_NEGATIVE: Final = ("$ne", "$nin")
MAX_DEPTH: Final = 16
"""Deeper documents are refused here, before they are walked; the worker's own bound is lower."""


def worker_document(document: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The same conditions as the worker reads them.

    Raises:
        Fault: 400 for a status that there is not, or a document nested too deep.
    """
    if depth > MAX_DEPTH:
        raise incomprehensible(f"query: is nested deeper than {MAX_DEPTH}", path="query")
    parts: list[dict[str, Any]] = []
    for name, condition in document.items():
        if name in _ALL and isinstance(condition, list):
            inner = [worker_document(one, depth + 1) if isinstance(one, dict) else one for one in condition]
            parts.append({name: inner})
        elif name in ("id", "_id"):
            parts.append(_of_id(condition, depth))
        elif name == "status":
            parts.append({"status": _of_status(condition, depth)})
        elif name in ("created_by", "updated_by"):
            parts.append({name: _of_person(condition)})
        else:
            parts.append({_field(name): condition})
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}


def _field(name: str) -> str:
    if name in FIELDS:
        return FIELDS[name]
    head, dot, rest = name.partition(".")
    return FIELDS.get(head, head) + dot + rest


def _is_operators(condition: Any) -> bool:
    return isinstance(condition, dict) and any(name.startswith("$") for name in condition)


def _of_id(condition: Any, depth: int) -> dict[str, Any]:
    """An id is the one that a caller chose, or a run key: no text is both."""
    if not _is_operators(condition):
        is_id = isinstance(condition, str) and RUN_KEY.fullmatch(condition) is None
        return {"run_id" if is_id else "run_key": condition}
    if depth > MAX_DEPTH:
        raise incomprehensible(f"query: is nested deeper than {MAX_DEPTH}", path="query")
    parts: list[dict[str, Any]] = []
    for operator, wanted in condition.items():
        both: list[dict[str, Any]] = [{name: {operator: wanted}} for name in ("run_key", "run_id")]
        if operator == "$not" and isinstance(wanted, dict):
            parts.append({"$nor": [_of_id(wanted, depth + 1)]})
        elif operator == "$exists":  # every run has one
            parts.append(both[0])
        else:
            parts.append({"$and" if operator in _NEGATIVE else "$or": both})
    return {"$and": parts}


def _of_status(condition: Any, depth: int) -> Any:
    if isinstance(condition, str):
        return {"$in": _meant(condition)}
    if not _is_operators(condition):
        return condition
    if depth > MAX_DEPTH:
        raise incomprehensible(f"query: is nested deeper than {MAX_DEPTH}", path="query")
    found: dict[str, Any] = {}
    for operator, wanted in condition.items():
        if operator == "$not" and isinstance(wanted, dict):
            found["$not"] = _of_status(wanted, depth + 1)
        elif operator == "$exists":
            found["$exists"] = wanted
        elif operator in _STATUS:
            name = _STATUS[operator]
            meant = _meant(wanted)
            found[name] = (
                [one for one in found[name] if one in meant] if name == "$in" and name in found
                else [*found.get(name, []), *meant]
            )  # fmt: skip
        else:
            known = ", ".join((*_STATUS, "$exists", "$not"))
            raise incomprehensible(
                f"query.status: {operator} is not for statuses; there are {known}", path="query.status"
            )
    return found


_STATUS: Final = {"$eq": "$in", "$in": "$in", "$ne": "$nin", "$nin": "$nin"}


def _meant(wanted: Any) -> list[str]:
    words = wanted if isinstance(wanted, list) else [wanted]
    return statuses_of("composable", [str(word) for word in words], "query.status")


def _of_person(condition: Any) -> Any:
    """People without the kind that this API names before them, wherever they stand."""
    if isinstance(condition, str):
        return without_kind(condition)
    if isinstance(condition, list):
        return [without_kind(one) if isinstance(one, str) else one for one in condition]
    if isinstance(condition, dict):
        return {
            operator: _of_person(wanted) if not isinstance(wanted, dict) else _inner(wanted)
            for operator, wanted in condition.items()
        }
    return condition


def _inner(condition: dict[str, Any]) -> dict[str, Any]:
    """What stands below ``$not``; deeper nothing can stand, and the worker says so."""
    leaf: Callable[[Any], Any] = lambda one: one if isinstance(one, dict) else _of_person(one)  # noqa: E731
    return {operator: leaf(wanted) for operator, wanted in condition.items()}


def selected(select: str | None) -> tuple[frozenset[str], str | None]:
    """The fields that are shown, and what the worker is to give besides refs.

    Raises:
        Fault: 400 for a name that no run has, or names and signs that do not go together.
    """
    signs: dict[str, str] = {}
    for word in (select or "").split():
        sign = word[0] if word[0] in "+-" else ""
        name = _SPELLED.get(word.removeprefix(sign), word.removeprefix(sign))
        if name not in DEFAULT_FOUND and name not in LARGE:
            raise incomprehensible(
                f"select: {word!r} is no field of a run; there are {', '.join((*DEFAULT_FOUND, *LARGE))}",
                path="select",
            )
        if signs.setdefault(name, sign) != sign or (sign == "+" and name in DEFAULT_FOUND):
            raise incomprehensible(f"select: {word!r}: is shown anyway, or was named before", path="select")
    kinds = {sign for name, sign in signs.items() if (name, sign) != ("id", "-")}
    if len(kinds) > 1:
        raise incomprehensible(
            "select: either names, or names behind -, or behind +; only -id goes with others", path="select"
        )
    named = {name for name, sign in signs.items() if not sign}
    shown = ({"id"} | named if named else set(DEFAULT_FOUND)) | {
        name for name, sign in signs.items() if sign == "+"
    }
    shown -= {name for name, sign in signs.items() if sign == "-"}
    large = [f"+{name}" for name in LARGE if name in shown and name != "prompt"]
    return frozenset(shown), " ".join(large) or None


_SPELLED: Final = {"_id": "id", "model": "modelId"}
