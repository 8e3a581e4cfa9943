"""How metadata changes: set, push to a list, pop from a list."""

from collections.abc import Callable, Mapping
from typing import Any

from protocol.entities import PopMetadata
from protocol.errors import ErrorCode
from worker.errors import RequestError


def metadata_edit(
    assign: Mapping[str, Any], push: Mapping[str, Any], pop: Mapping[str, PopMetadata]
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """An edit: current metadata in, changed names with their new values out; applied set, push, pop.

    The edit raises ``RequestError`` INVALID_REQUEST when push or pop meet a value that is no list.
    A push to a missing name begins a list; a pop from a missing name leaves an empty one.
    """

    def edit(current: dict[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = dict(assign)

        def items(name: str, verb: str) -> list[Any]:
            value = changed.get(name, current.get(name, []))
            if not isinstance(value, list):
                raise RequestError(
                    ErrorCode.INVALID_REQUEST,
                    f"{verb}.{name}: the value is no list but {type(value).__name__}",
                    path=f"{verb}.{name}",
                )
            return value

        for name, value in push.items():
            changed[name] = [*items(name, "push"), value]
        for name, what in pop.items():
            changed[name] = _popped(items(name, "pop"), what)
        return changed

    return edit


def _popped(items: list[Any], what: PopMetadata) -> list[Any]:
    if what.object_type == "first":
        return items[1:]
    if what.object_type == "last":
        return items[:-1]
    if "value" in what.model_fields_set:
        return [item for item in items if not (item == what.value and type(item) is type(what.value))]
    return []
