"""What may cross the wire: JSON values, bounded in size and depth.

null, booleans, 64-bit integers (-2^63 ... 2^64-1, what msgpack carries), finite floats, strings, lists and
maps with string keys, nested at most ``MAX_DEPTH`` deep: a plain value has depth 0, ``[1]`` depth 1.
"""

import math
from collections.abc import Collection
from itertools import chain
from typing import Any, Final

from protocol.errors import ErrorCode, ProtocolError

MAX_DEPTH: Final = 64
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
MAX_VALUES: Final = 250_000
"""Items of all lists and maps of one request together: few bytes can hold so many that reading them takes seconds."""
CONTAINER_VALUES: Final = 4
"""What a list or map counts besides its items: each costs its reader more than a number does."""
SMALL_BYTES: Final = 1024
"""A value in a message of no more is looked at item by item, which takes less time then."""
MAX_PATH: Final = 200
"""Characters of a path that an error repeats; keys are the caller's and may be megabytes long."""


def invalid(path: str, message: str) -> ProtocolError:
    """The error for a request whose field at ``path`` is wrong; the message tells path and reason."""
    shown = path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}…"
    return ProtocolError(ErrorCode.INVALID_REQUEST, f"{shown or 'the request'}: {message}", path=shown)


def check_value(value: Any, path: str, *, depth: int = 0, size: int = 0) -> None:
    """Refuse anything that is no JSON value; a tuple counts as the list it is encoded as.

    ``depth`` is that of ``value`` itself: negative for a container that only carries values. ``size``: of the
    message that it came in, in bytes, where that is known; a large one is judged the faster way.

    Raises:
        ProtocolError: INVALID_REQUEST, its message and ``information.path`` naming the offending place.

    """
    if size > SMALL_BYTES and _is_sound(value, depth):
        return
    fault = _find_fault(value, depth)
    if fault is not None:
        message, steps = fault
        # A path of steps runs from the inside out; the first step of an empty path has no dot before it.
        raise invalid((path + "".join(reversed(steps))).removeprefix("."), message)


_SCALARS: Final = frozenset({str, bool, int, float, type(None)})
_CONTAINERS: Final = frozenset({list, dict, tuple})
_KINDS: Final = _SCALARS | _CONTAINERS
_WIDEST: Final = 4_000_000
"""Values looked at together: what holds itself twice would double from level to level."""


def _is_sound(value: Any, depth: int) -> bool:
    """Whether a value is fine, told level by level, without a look at each item from Python."""
    level: Collection[Any] = (value,)
    while level:
        kinds = set(map(type, level))
        if not kinds <= _KINDS or not _are_fine(level, kinds):
            return False
        if kinds.isdisjoint(_CONTAINERS):
            return True
        if depth >= MAX_DEPTH:
            return False
        depth += 1
        lists = level if kinds == {list} else [item for item in level if type(item) in (list, tuple)]
        maps = [item for item in level if type(item) is dict] if dict in kinds else []
        if not set(map(type, chain.from_iterable(maps))) <= {str}:
            return False
        if sum(map(len, lists)) + sum(map(len, maps)) > _WIDEST:
            return False
        level = [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, maps))]
    return True


def _are_fine(level: Collection[Any], kinds: set[type]) -> bool:
    """Whether all integers fit and all floats are finite."""
    if int in kinds:
        whole = level if kinds == {int} else [item for item in level if type(item) is int]
        if min(whole) < MIN_INTEGER or max(whole) > MAX_INTEGER:
            return False
    if float in kinds:
        floats = level if kinds == {float} else [item for item in level if type(item) is float]
        return all(map(math.isfinite, floats))
    return True


_Fault = tuple[str, list[str]]
"""What is wrong, and the steps that lead to it, innermost first."""


def _find_fault(value: Any, depth: int) -> _Fault | None:
    """Paths are built for a fault only: most values are fine, and this stands in front of every request."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return None
    if kind is dict or kind is list or kind is tuple:
        if depth >= MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH}", []
        return _find_in_map(value, depth + 1) if kind is dict else _find_in_list(value, depth + 1)
    message = _scalar_fault(value)
    return (message, []) if message else None


def _find_in_map(value: dict[Any, Any], depth: int) -> _Fault | None:
    for key, item in value.items():
        if type(key) is not str:
            return key_fault(key), []
        fault = _find_fault(item, depth)
        if fault is not None:
            fault[1].append(f".{key}")
            return fault
    return None


def _find_in_list(value: list[Any], depth: int) -> _Fault | None:
    for index, item in enumerate(value):
        fault = _find_fault(item, depth)
        if fault is not None:
            fault[1].append(f"[{index}]")
            return fault
    return None


def _scalar_fault(value: Any) -> str | None:
    kind = type(value)
    if kind is int:
        return None if MIN_INTEGER <= value <= MAX_INTEGER else "an integer must fit 64 bits"
    if kind is float:
        return None if math.isfinite(value) else "a float must be finite, not NaN or Infinity"
    return f"{kind.__name__} is not a JSON value"


def key_fault(key: Any) -> str:
    """The sentence for a map key that is no string."""
    return f"a map key must be a string, not {type(key).__name__} {key!r:.40}"
