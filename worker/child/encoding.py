"""A model's values as JSON values, packed.

| Python | JSON value |
|---|---|
| None, bool, str, int (-2^63 ... 2^64-1), finite float | itself |
| NaN, +-Infinity, also as Decimal or numpy scalar | null, with a warning ``NON_FINITE`` (at most 100) |
| list, tuple (named ones too), deque, array.array, range, dict views | list |
| set, frozenset | list: numbers or strings sorted, anything else ordered by its packed bytes |
| dict and other mappings | map; OrderedDict in its own order |
| map keys: int, float, bool, None, Enum | as JSON text (``1``, ``1.5``, ``true``, ``null``, the value's form) |
| map keys: date, datetime, time, Decimal, Fraction, UUID, path | their string form, as below |
| datetime, date, time | ISO-8601 string |
| timedelta | seconds, float |
| Decimal, Fraction | string, because a float would change the number (``"0.10"``, ``"1/3"``) |
| UUID, path | string |
| Enum | its value |
| dataclass instance, SimpleNamespace | map of its fields |
| numpy scalar, array | number or string; nested lists (no dimension: a scalar); records: maps |
| numpy datetime64 / timedelta64 | ISO-8601 string / seconds; NaT is null |
| pandas Series | list if its index is the default one, else map from index to value |
| pandas DataFrame | map from column to the list of its values; the index is left out |
| pandas Index, Categorical and other arrays | list; NaT and NA are null |
| what is missing in a Series or a column | null; with a warning only among floats, where it is NaN |
| pandas Timestamp, Timedelta / Period, Interval | as datetime, timedelta / string |

A custom encoder of the model wins over all of these; it is found by exact type, then by base class. All else
is UNENCODABLE_VALUE: bytes, complex, generators, functions, classes, other objects, cycles, nesting deeper
than 64, two keys with the same string form, strings with lone surrogates. A result over the size limit is
RESULT_TOO_LARGE; containers are measured before they are built. So is one of more than a million values in all.

Values of exactly the plain types are packed as they are, without running any code of the model.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgpack

from worker.channel import (
    CONTAINER_VALUES,
    MAX_DEPTH,
    USUAL_VALUES,
    Allowance,
    ChannelError,
    may_exceed,
    unpack,
)
from worker.child.conversions import Conversion, too_large
from worker.child.failures import RefusedError, attempt, error_text
from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

PLAIN: Final = frozenset({type(None), bool, int, float, str, list, dict})
KEPT_BUFFER_BYTES: Final = 1024 * 1024
_new_packer: Final = msgpack.Packer
_from_json: Final = json.JSONDecoder().decode
_to_json: Final = json.JSONEncoder(allow_nan=False).encode
_NONE_TYPE: Final = type(None)


class Encoder:
    """Encodes values of one run; ``warnings`` collects what was changed on the way, until it is drained.

    ``max_bytes``, ``max_depth`` and ``max_values`` bound each encoded value. ``is_altered``: the last one encoded held
    what JSON has not.
    """

    def __init__(self, max_bytes: int) -> None:
        self.warnings: list[dict[str, str]] = []
        self.max_bytes = max_bytes
        self.max_depth = MAX_DEPTH
        self.max_values = USUAL_VALUES
        self.is_altered = False
        self._custom: dict[type, Callable[[Any], str]] = {}
        self._plain = PLAIN
        self._packer = _new_packer(use_bin_type=True)

    def register(self, kind: type, function: Callable[[Any], str]) -> None:
        """Let ``function(value)``, which returns JSON text, encode values of ``kind``."""
        self._custom[kind] = function
        if kind in PLAIN:
            self._plain = frozenset()

    @property
    def leaves_plain_types(self) -> bool:
        """Whether numbers, texts and their like are encoded without code of the model."""
        return self._plain is PLAIN

    def pack(self, value: Any) -> bytes:
        """Pack a value that is a JSON value already."""
        packed: bytes = self._packer.pack(value)
        if len(packed) > KEPT_BUFFER_BYTES:
            self._packer = _new_packer(use_bin_type=True)
        return packed

    def encode(self, value: Any, root: str) -> bytes:
        """Encode any value; ``root`` is how paths in errors and warnings begin.

        Raises:
            RefusedError: UNENCODABLE_VALUE (``path``, ``type``) or RESULT_TOO_LARGE (``size``, ``allowed``
                in bytes; or ``allowed`` values).
            BaseException: what the model's own code raised while it was asked for its parts.
        """
        self.is_altered = False
        packed = self._pack_plain(value) if type(value) in self._plain else None
        if packed is None:
            packed = self.pack(self.convert(value, root))
        if len(packed) > self.max_bytes:
            raise too_large(root, len(packed), self.max_bytes)
        if may_exceed(len(packed), self.max_values):
            _check_count(packed, root, Allowance(self.max_values))
        return packed

    def carry(self, values: dict[str, Any], root: str) -> bytes:
        """Encode a map that only carries values, which were judged one by one; raises as ``encode``."""
        allowed, self.max_depth = self.max_depth, MAX_DEPTH
        try:
            return self.encode(values, root)
        finally:
            self.max_depth = allowed

    def convert(self, value: Any, root: str) -> Any:
        """The JSON value for any value; raises as ``encode``."""
        conversion = Conversion(root, self.max_bytes, self.warnings, self._custom_for, self._packer.pack)
        conversion.max_depth = self.max_depth
        converted = conversion.convert(value)
        self.is_altered = conversion.is_altered
        return converted

    def drain_warnings(self) -> list[dict[str, str]]:
        """The warnings since the last call."""
        warnings = self.warnings
        if warnings:
            self.warnings = []
        return warnings

    def _pack_plain(self, value: Any) -> bytes | None:
        """Pack a plain value without model code; None when it needs a conversion or an error's path."""
        begins_at = MAX_DEPTH - self.max_depth
        try:
            return self.pack(value) if measure(value, self.max_bytes, begins_at) >= 0 else None
        except (OverflowError, ValueError):
            return None

    def _custom_for(self, kind: type) -> Callable[[Any], Any] | None:
        """The custom encoder of a type: its own, else of its nearest base, object's only as a last resort."""
        found = self._custom.get(kind)
        if found is None and self._custom and kind not in PLAIN:
            found = next((self._custom[base] for base in kind.__mro__[:-1] if base in self._custom), None)
        return found if found is None else self._applied(found)

    def _applied(self, function: Callable[[Any], str]) -> Callable[[Any], Any]:
        def apply(value: Any) -> Any:
            return _parsed(function(value), self.max_bytes)

        return apply


def _check_count(packed: bytes, root: str, allowance: Allowance) -> None:
    """Refuse what the worker would refuse to read.

    Raises:
        RefusedError: RESULT_TOO_LARGE.
    """
    try:
        unpack(packed, allowance)
    except ChannelError:
        message = (
            f"{root}: more than {allowance.values} values in all its lists and maps (each of which counts as "
            f"{CONTAINER_VALUES} itself); return fewer, or a text"
        )
        raise RefusedError(
            "RESULT_TOO_LARGE", message, allowed=allowance.values, limit="max_result_values"
        ) from None


def json_text(value: Any) -> str:
    """JSON text of a JSON value, as custom decoders get it."""
    return _to_json(value)


def measure(value: Any, room: int, depth: int) -> int:
    """What is left of ``room`` bytes after a plain value, which takes at least a byte an item.

    Negative when the value is not plain: another type or key, a float that is not finite, too deep, too long.
    """
    kind = type(value)
    if kind is str:
        return room - len(value)
    if kind is float:
        return room if value - value == 0.0 else -1
    if kind is list:
        return _measure_items(value, room - len(value), depth)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return -1
            room -= len(key)
        return _measure_items(value.values(), room - len(value), depth)
    return room if kind in _SCALARS else -1


def _measure_items(items: Iterable[Any], room: int, depth: int) -> int:
    if depth >= MAX_DEPTH:
        return -1
    for item in items:
        kind = type(item)
        if kind in _SCALARS:
            continue
        if kind is str:
            room -= len(item)
        else:
            room = measure(item, room, depth + 1)
        if room < 0:
            return -1
    return room


_SCALARS: Final = frozenset({_NONE_TYPE, bool, int})


def _parsed(text: Any, max_bytes: int) -> Any:
    """What a custom encoder's JSON text says.

    Raises:
        RefusedError: it is no text, too long, or no JSON.
    """
    if not issubclass(type(text), str):
        raise RefusedError("UNENCODABLE_VALUE", "a custom encoder must return JSON text")
    if len(text) > max_bytes:
        raise too_large("", len(text), max_bytes)
    parsed, failure = attempt(_from_json, text)
    if failure is not None:
        raise RefusedError("UNENCODABLE_VALUE", f"a custom encoder returned no JSON: {error_text(failure)}")
    return parsed
