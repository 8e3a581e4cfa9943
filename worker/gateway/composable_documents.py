"""Documents of operators in this API's names and statuses, turned into the worker's.

What is no field or operator is passed on as it is: the worker refuses it by name.
"""

from collections.abc import Callable
from typing import Any, Final

from protocol.entities import RUN_KEY
from worker.gateway.composable_views import FIELDS
from worker.gateway.faults import incomprehensible
from worker.gateway.vocabulary import statuses_of

_ALL: Final = ("$and", "$or", "$nor")
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
            parts.append(_of_id(condition))
        elif name == "status":
            parts.append({"status": _of_status(condition)})
        else:
            parts.append({_field(name): condition})
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}


def worker_select(select: str) -> str:
    """The names of ``select`` as the worker has them, each with its sign; ids are always given."""
    names: list[str] = []
    for word in select.split():
        sign, name = (word[0], word[1:]) if word[0] in "+-" else ("", word)
        if name in ("id", "_id"):
            continue
        names.append(sign + _field(name))
    excludes = any(name.startswith("-") for name in names)
    return " ".join(names if excludes else ["run_key", "run_id", *names])


def _field(name: str) -> str:
    head, dot, rest = name.partition(".")
    return FIELDS.get(head, head) + dot + rest


def _of_id(condition: Any) -> dict[str, Any]:
    """An id is the one that a caller chose, or a run key: never both of two runs."""
    if isinstance(condition, dict):
        negative = all(operator in ("$ne", "$nin") for operator in condition)
        both = [{"run_key": condition}, {"run_id": condition}]
        return {"$and" if negative else "$or": both}
    is_key = isinstance(condition, str) and RUN_KEY.fullmatch(condition) is not None
    return {"run_key" if is_key else "run_id": condition}


def _of_status(condition: Any) -> Any:
    if isinstance(condition, str):
        return {"$in": statuses_of("composable", [condition], "query.status")}
    if not isinstance(condition, dict):
        return condition
    return dict(
        _STATUS[operator](wanted) if operator in _STATUS else (operator, wanted)
        for operator, wanted in condition.items()
    )


def _meant(wanted: Any) -> list[str]:
    words = wanted if isinstance(wanted, list) else [wanted]
    return statuses_of("composable", [str(word) for word in words], "query.status")


_STATUS: Final[dict[str, Callable[[Any], tuple[str, Any]]]] = {
    "$eq": lambda wanted: ("$in", _meant(wanted)),
    "$in": lambda wanted: ("$in", _meant(wanted)),
    "$ne": lambda wanted: ("$nin", _meant(wanted)),
    "$nin": lambda wanted: ("$nin", _meant(wanted)),
    "$not": lambda wanted: ("$not", _of_status(wanted)),
}
