"""What may cross the wire: JSON values, bounded in size and depth.

null, booleans, 64-bit integers (-2^63 ... 2^64-1, what msgpack carries), finite floats, strings, lists and
maps with string keys, nested at most ``MAX_DEPTH`` deep: a plain value has depth 0, ``[1]`` depth 1.
"""

import math
from typing import Any, Final

from protocol.errors import ErrorCode, ProtocolError

MAX_DEPTH: Final = 64
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1


def invalid(path: str, message: str) -> ProtocolError:
    """The error for a request whose field at ``path`` is wrong; the message tells path and reason."""
    return ProtocolError(ErrorCode.INVALID_REQUEST, f"{path or 'the request'}: {message}", path=path)


def check_value(value: Any, path: str, *, depth: int = 0) -> None:
    """Refuse anything that is no JSON value.

    Raises:
        ProtocolError: INVALID_REQUEST, its message and ``information.path`` naming the offending place.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise invalid(path, "an integer must fit 64 bits")
    elif kind is float:
        if not math.isfinite(value):
            raise invalid(path, "a float must be finite, not NaN or Infinity")
    elif kind is list:
        _check_depth(path, depth)
        for index, item in enumerate(value):
            check_value(item, f"{path}[{index}]", depth=depth + 1)
    elif kind is dict:
        _check_depth(path, depth)
        for key, item in value.items():
            if type(key) is not str:
                raise invalid(path, f"a map key must be a string, not {type(key).__name__} {key!r:.40}")
            check_value(item, f"{path}.{key}" if path else key, depth=depth + 1)
    else:
        raise invalid(path, f"{kind.__name__} is not a JSON value")


def _check_depth(path: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise invalid(path[:200], f"nested deeper than {MAX_DEPTH}")
