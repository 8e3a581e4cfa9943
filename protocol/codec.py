"""Bytes to messages and back, with every check that needs no knowledge of runs.

Size, msgpack, JSON values, version, type, then the type's schema; the first that fails raises a
``ProtocolError`` that names the place. Nothing here allocates more than the bytes it was given call for.
"""

import gc
from typing import Any, Final, TypeVar, get_args

import msgpack
from pydantic import BaseModel, TypeAdapter, ValidationError

from protocol.errors import ErrorCode, ProtocolError
from protocol.functions import CALL_TYPE, FunctionCall
from protocol.messages import VERSION, AnyRequest, Reply, Request
from protocol.values import CONTAINER_VALUES, MAX_VALUES, check_value, invalid, key_fault

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Default bound on one body, in bytes, in both directions."""

LARGE_BYTES: Final = MAX_VALUES // (1 + CONTAINER_VALUES)
"""What is shorter cannot hold too many values, and is read without counting them."""

M = TypeVar("M", bound=BaseModel)

_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(AnyRequest)
REQUEST_TYPES: Final[dict[str, type[Request]]] = {
    get_args(cls.model_fields["type"].annotation)[0]: cls for cls in get_args(get_args(AnyRequest)[0])
}
"""Every request type this protocol knows, by its name on the wire."""


def encode(message: dict[str, Any], *, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """Encode a request or reply map.

    Raises:
        ProtocolError: INVALID_REQUEST for what msgpack cannot carry, MESSAGE_TOO_LARGE.
    """
    try:
        body: bytes = msgpack.packb(message, use_bin_type=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        check_value(message, "")
        raise invalid("", f"cannot be encoded: {error}") from error
    check_size(len(body), max_bytes)
    return body


def check_size(size: int, max_bytes: int) -> None:
    """Refuse a body over the limit.

    Raises:
        ProtocolError: MESSAGE_TOO_LARGE with ``size`` and ``allowed`` in bytes.
    """
    if size > max_bytes:
        raise ProtocolError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"message of {size} bytes, allowed {max_bytes} (max_message_bytes)",
            size=size,
            allowed=max_bytes,
        )


class _Allowance:
    """How many values a body may still have."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def take(self, container: Any) -> Any:
        """Count a list or map with its items; it is given back.

        Raises:
            ProtocolError: MESSAGE_TOO_LARGE.
        """
        self._left -= len(container) + CONTAINER_VALUES
        if self._left < 0:
            raise _too_many()
        return container


def _too_many() -> ProtocolError:
    return ProtocolError(
        ErrorCode.MESSAGE_TOO_LARGE,
        f"message of more than {MAX_VALUES} values in all its lists and maps, each of which counts as "
        f"{CONTAINER_VALUES} itself; send fewer at once, or a text",
        limit="values",
        allowed=MAX_VALUES,
    )


def _unpack_counted(body: bytes) -> Any:
    """Meanwhile the collector rests, which would look through all that is built again and again."""
    take = _Allowance().take
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        return msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=False,
            list_hook=take,
            object_hook=take,
            max_array_len=MAX_VALUES,
            max_map_len=MAX_VALUES,
        )
    except ValueError as error:
        if "exceeds max_array_len" in str(error) or "exceeds max_map_len" in str(error):
            raise _too_many() from error
        raise
    finally:
        if was_collecting:
            gc.enable()


def _decode_map(body: bytes, max_bytes: int, *, counted: bool = False) -> dict[str, Any]:
    check_size(len(body), max_bytes)
    try:
        if counted and len(body) > LARGE_BYTES:
            message = _unpack_counted(body)
        else:
            message = msgpack.unpackb(body, raw=False, strict_map_key=False)
    except msgpack.StackError as error:
        raise invalid("", "nested deeper than 64") from error
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise invalid("", f"the body is not one msgpack value: {reason:.200}") from error
    if not isinstance(message, dict):
        raise invalid("", f"the body must be a map, not {type(message).__name__}")
    return message


def _request_id(message: dict[str, Any]) -> str | None:
    request_id = message.get("request_id")
    return request_id if isinstance(request_id, str) and 1 <= len(request_id) <= 64 else None


def decode_request(body: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Request:
    """Decode and judge one request.

    Raises:
        ProtocolError: MESSAGE_TOO_LARGE, INVALID_REQUEST, UNSUPPORTED_VERSION or UNKNOWN_TYPE;
            its ``request_id`` is set when the body was whole enough to have one.
    """
    message = _decode_map(body, max_bytes, counted=True)
    try:
        _check_values(message, len(body))
        _check_version(message)
        _check_type(message)
        return _REQUEST.validate_python(message)
    except ValidationError as error:
        refusal = _refusal(error, str(message.get("type")))
        refusal.request_id = _request_id(message)
        raise refusal from error
    except ProtocolError as error:
        error.request_id = _request_id(message)
        raise


# A value's depth counts from where it stands for itself: an argument, not the list of arguments.
_CARRIERS: Final = {"arguments": -1, "values": -1, "set": -1, "push": -1, "metadata": -1, "pop": -2}


def _check_values(message: dict[str, Any], size: int) -> None:
    share = size // max(len(message), 1)  # where there are many, each is small
    for key, value in message.items():
        if type(key) is not str:
            raise invalid("", key_fault(key))
        if key == "actions" and isinstance(value, list):
            for index, action in enumerate(value):
                _check_action(action, f"actions[{index}]", share // len(value))
        else:
            check_value(value, key, depth=_CARRIERS.get(key, 0), size=share)


def _check_action(action: Any, path: str, size: int) -> None:
    if not isinstance(action, dict):
        raise invalid(path, f"an action must be a map, not {type(action).__name__}")
    for key, value in action.items():
        if type(key) is not str:
            raise invalid(path, key_fault(key))
        check_value(value, f"{path}.{key}", depth=_CARRIERS.get(key, 0), size=size // len(action))


def _check_version(message: dict[str, Any]) -> None:
    version = message.get("version")
    if version is None:
        raise invalid("version", f"missing; this worker speaks version {VERSION}")
    if version != VERSION or type(version) is not int:
        raise ProtocolError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"version {version!r:.40} is not spoken here; this worker speaks version {VERSION}",
            supported=[VERSION],
        )


def _check_type(message: dict[str, Any]) -> None:
    kind = message.get("type")
    if not isinstance(kind, str):
        raise invalid("type", "missing" if kind is None else "must be a string")
    if kind not in REQUEST_TYPES:
        known = sorted(REQUEST_TYPES)
        raise ProtocolError(
            ErrorCode.UNKNOWN_TYPE,
            f"unknown request type {kind!r:.60}; known: {', '.join(known)}",
            known=known,
        )


def _refusal(error: ValidationError, kind: str) -> ProtocolError:
    """The first thing that was wrong, with its path, in a sentence."""
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "extra_forbidden":
        message = "unknown field"
    else:
        message = first["msg"].removeprefix("Value error, ")
    return invalid(_path(first["loc"]), f"{message} (in {kind})")


def _path(location: tuple[int | str, ...]) -> str:
    """A place as the caller wrote it: pydantic also names the union members that it chose by their tags."""
    parts = list(location[1:])
    if parts[:1] == ["actions"]:
        del parts[2:3]
    if parts[-1:] == ["[key]"]:
        # The place of a map key that is itself at fault is the map.
        del parts[-2:]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def decode_reply(body: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Reply:
    """Decode one reply; unknown keys are ignored.

    Raises:
        ProtocolError: INVALID_REQUEST when the peer sent no reply of this protocol.
    """
    return _judged(Reply, _decode_map(body, max_bytes), "a reply")


def decode_from_worker(body: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Reply | FunctionCall:
    """Decode what a provider of external functions may hear; unknown keys are ignored.

    Raises:
        ProtocolError: INVALID_REQUEST when it is neither a reply nor a call.
    """
    message = _decode_map(body, max_bytes)
    if message.get("type") == CALL_TYPE:
        return _judged(FunctionCall, message, "a call")
    return _judged(Reply, message, "a reply")


def _judged(kind: type[M], message: dict[str, Any], what: str) -> M:
    try:
        return kind.model_validate(message)
    except ValidationError as error:
        raise invalid("", f"not {what}: {error.errors(include_url=False)[0]['msg']}") from error
