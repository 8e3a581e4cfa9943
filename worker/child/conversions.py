"""How each class of values becomes a JSON value; the table is in the docstring of ``encoding``.

Containers are read through their own class's methods (``dict.items(value)``), not through a subclass's, so
that a subclass cannot answer with something else than what it holds. numpy and pandas are recognised among
the modules that are loaded; they are never imported here.
"""

import sys
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from math import isfinite
from pathlib import PurePath
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final
from uuid import UUID

from worker.channel import MAX_DEPTH
from worker.child.failures import RefusedError, bounded, type_name
from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

MAX_WARNINGS: Final = 100
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
PATH_BYTES: Final = 512
NON_FINITE: Final = "NON_FINITE"
_modules: Final = sys.modules

Step = int | str
CustomLookup = Callable[[type], Callable[[Any], Any] | None]


def too_large(path: str, size: int, allowed: int) -> RefusedError:
    """The error for a value over the limit; both in bytes, ``size`` may be a lower bound."""
    where = f"{path}: " if path else ""
    message = f"{where}{size} bytes or more, allowed {allowed} (max_result_bytes)"
    return RefusedError("RESULT_TOO_LARGE", message, size=size, allowed=allowed)


class Conversion:
    """One value on its way to a JSON value: where we are in it, and how much room is left, in bytes.

    ``is_altered``: something in it is nothing that JSON has, a set or a number that is not finite.
    """

    def __init__(
        self,
        root: str,
        max_bytes: int,
        warnings: list[dict[str, str]],
        custom_for: CustomLookup,
        pack: Callable[[Any], bytes],
    ) -> None:
        self._root = root
        self._allowed = max_bytes
        self._room = max_bytes
        self.max_depth = MAX_DEPTH
        self._warnings = warnings
        self._custom_for = custom_for
        self._pack = pack
        self._path: list[Step] = []
        self._open: set[int] = set()
        self._in_custom = False
        self.is_altered = False

    def convert(self, value: Any) -> Any:
        """The JSON value; raises RefusedError, or whatever the model's own code raises."""
        kind = type(value)
        custom = None if self._in_custom else self._custom_for(kind)
        if custom is not None:
            return self._customised(custom, value)
        rule = BY_CLASS.get(kind)
        if rule is None:
            rule = next((BY_CLASS[base] for base in kind.__mro__ if base in BY_CLASS), None)
        if rule is not None:
            return rule(self, value)
        return self._unlisted(value)

    def _unlisted(self, value: Any) -> Any:
        if hasattr(type(value), "__dataclass_fields__"):
            return self.mapping(value, ((field.name, getattr(value, field.name)) for field in fields(value)))
        rule = _foreign_rule(value)
        if rule is not None:
            return rule(self, value)
        custom = self._custom_for(object)
        if custom is not None:
            return self._customised(custom, value)
        raise self.refused(value)

    def _customised(self, custom: Callable[[Any], Any], value: Any) -> Any:
        """What the custom encoder said; custom encoders are not asked about its parts."""
        parsed = custom(value)
        self._in_custom = True
        converted = self.convert(parsed)
        self._in_custom = False
        return converted

    def path(self) -> str:
        """Where we are, for example ``result[2].price``."""
        steps = "".join(f"[{step}]" if type(step) is int else f".{step}" for step in self._path)
        return bounded(self._root + steps, PATH_BYTES)

    def refused(self, value: Any, why: str = "") -> RefusedError:
        """The error for a value without an encoding."""
        kind = type_name(value)
        path = self.path()
        reason = why or f"a value of type {kind} has no encoding{HINTS.get(kind, '')}"
        return RefusedError("UNENCODABLE_VALUE", f"{path}: {reason}", path=path, type=kind)

    def warn(self, code: str) -> None:
        """Note that the value here was changed."""
        self.is_altered = True
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.append({"code": code, "path": self.path()})

    def take(self, size: int) -> None:
        """Claim at least ``size`` bytes of the result."""
        self._room -= size
        if self._room < 0:
            raise too_large(self.path(), self._allowed - self._room, self._allowed)

    def sequence(self, value: Any, items: Iterable[Any], length: int) -> list[Any]:
        """A list from the items of the container ``value``."""
        self._enter(value, length)
        result = []
        for index, item in enumerate(items):
            self._path.append(index)
            result.append(self.convert(item))
            self._path.pop()
        self._open.discard(id(value))
        return result

    def numbers(self, value: Any, dimensions: int) -> Any:
        """The nested lists of a numpy array of finite numbers, whose size is already taken."""
        if len(self._path) + dimensions > self.max_depth:
            raise self.refused(value, f"nested deeper than {self.max_depth}")
        return value.tolist()

    def mapping(self, value: Any, pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        """A map from the pairs of the container ``value``."""
        self._enter(value, 0)
        result: dict[str, Any] = {}
        for key, item in pairs:
            name = key if type(key) is str else self._key(key)
            self.take(1 + len(name))
            self._path.append(name)
            if name in result:
                raise self.refused(key, f"two keys have the string form {name[:80]!r}")
            self._text(name)
            result[name] = self.convert(item)
            self._path.pop()
        self._open.discard(id(value))
        return result

    def ordered(self, value: Any, items: Iterable[Any], length: int) -> list[Any]:
        """A list from a set, in an order that does not depend on hashes."""
        self.is_altered = True
        result = self.sequence(value, items, length)
        kinds = {type(item) for item in result}
        if kinds <= {int, float} or kinds == {str}:
            return sorted(result)
        return sorted(result, key=self._pack)

    def text(self, text: str) -> str:
        """A string that can be encoded."""
        self.take(len(text))
        return self._text(text)

    def _text(self, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.refused(text, "a string with a lone surrogate cannot be encoded") from None
        return text

    def _enter(self, value: Any, length: int) -> None:
        self.take(length)
        if id(value) in self._open:
            raise self.refused(value, f"the {type_name(value)} contains itself")
        if len(self._path) >= self.max_depth:
            raise self.refused(value, f"nested deeper than {self.max_depth}")
        self._open.add(id(value))

    def _key(self, key: Any) -> str:
        if issubclass(type(key), str):
            return str.__str__(key)
        if issubclass(type(key), Enum):
            return self._key(key.value)
        if not issubclass(type(key), KEY_TYPES) and _foreign_rule(key) not in KEY_RULES:
            advice = KEY_HINTS.get(type_name(key), "")
            raise self.refused(key, f"a key of type {type_name(key)} has no string form{advice}")
        if issubclass(type(key), float) and not isfinite(key):
            return float.__repr__(key)
        form = self.convert(key)
        if type(form) is str:
            return form
        return _JSON_WORDS[form] if form is None or type(form) is bool else repr(form)


Rule = Callable[[Conversion, Any], Any]

_JSON_WORDS: Final = {None: "null", True: "true", False: "false"}
KEY_TYPES: Final = (int, float, type(None), date, time, Decimal, Fraction, UUID, PurePath)
HINTS: Final[Mapping[str, str]] = {
    "bytes": "; encode it yourself, for example with base64",
    "bytearray": "; encode it yourself, for example with base64",
    "memoryview": "; encode it yourself, for example with base64",
    "generator": "; make it a list",
    "map": "; make it a list",
    "filter": "; make it a list",
    "zip": "; make it a list",
    "coroutine": "; operations are plain functions, not async ones",
    "complex": "; return its parts",
}

KEY_HINTS: Final[Mapping[str, str]] = {
    "tuple": "; join its parts to a string, or reset_index() what pandas grouped",
}


def _integer(conversion: Conversion, value: Any) -> int:
    number = int.__index__(value)
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise conversion.refused(value, "an integer must fit 64 bits")
    return number


def _float(conversion: Conversion, value: Any) -> float | None:
    number = float.__float__(value)
    if isfinite(number):
        return number
    conversion.warn(NON_FINITE)
    return None


def _moment(_conversion: Conversion, value: Any) -> str | None:
    """ISO-8601; pandas' NaT is a datetime that is not equal to itself."""
    return None if value != value else str(value.isoformat())  # noqa: PLR0124 - NaT, as said above


def _decimal(conversion: Conversion, value: Any) -> str | None:
    if value.is_finite():
        return conversion.text(str(value))
    conversion.warn(NON_FINITE)
    return None


def _string_form(conversion: Conversion, value: Any) -> str:
    return conversion.text(str(value))


def _tagged(kind: Any) -> Rule:
    """The rule for a container class whose length and items are read by its own methods."""
    return lambda conversion, value: conversion.sequence(value, kind.__iter__(value), kind.__len__(value))


def _set(kind: Any) -> Rule:
    return lambda conversion, value: conversion.ordered(value, kind.__iter__(value), kind.__len__(value))


def _mapping(conversion: Conversion, value: Any) -> Any:
    return conversion.mapping(value, value.items())


BY_CLASS: Final[Mapping[type, Rule]] = {
    type(None): lambda _conversion, _value: None,
    bool: lambda _conversion, value: value,
    int: _integer,
    float: _float,
    str: lambda conversion, value: conversion.text(str.__str__(value)),
    list: _tagged(list),
    tuple: _tagged(tuple),
    deque: _tagged(deque),
    range: _tagged(range),
    array: _tagged(array),
    type({}.keys()): lambda conversion, value: conversion.sequence(value, value, len(value)),
    type({}.values()): lambda conversion, value: conversion.sequence(value, value, len(value)),
    type({}.items()): lambda conversion, value: conversion.sequence(value, value, len(value)),
    set: _set(set),
    frozenset: _set(frozenset),
    dict: lambda conversion, value: conversion.mapping(value, dict.items(value)),
    OrderedDict: lambda conversion, value: conversion.mapping(value, OrderedDict.items(value)),
    MappingProxyType: _mapping,
    Mapping: _mapping,
    datetime: _moment,
    date: _moment,
    time: _moment,
    timedelta: lambda _conversion, value: timedelta.total_seconds(value),
    Decimal: _decimal,
    Fraction: _string_form,
    UUID: _string_form,
    PurePath: _string_form,
    Enum: lambda conversion, value: conversion.convert(value.value),
    SimpleNamespace: lambda conversion, value: conversion.mapping(value, vars(value).items()),
}


def _numpy_rule(value: Any) -> Rule | None:
    numpy = _modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray):
        return _array
    return _numpy_scalar if isinstance(value, numpy.generic) else None


def _numpy_scalar(conversion: Conversion, value: Any) -> Any:
    numpy: Any = _modules["numpy"]
    kind = value.dtype.kind
    if kind in "Mm" and numpy.isnat(value):
        return None
    if kind == "M":
        return str(value)
    if kind == "m":
        return float(value / numpy.timedelta64(1, "s"))
    if kind == "f":
        return _float(conversion, float(value))
    if kind == "V" and value.dtype.names:
        return conversion.mapping(value, ((name, value[name]) for name in value.dtype.names))
    if kind in "biuU":
        return conversion.convert(value.item())
    raise conversion.refused(value)


KEY_RULES: Final = (_numpy_scalar, _string_form)


def _foreign_rule(value: Any) -> Rule | None:
    return _numpy_rule(value) or _pandas_rule(value)


def _array(conversion: Conversion, value: Any) -> Any:
    numpy: Any = _modules["numpy"]
    if value.ndim == 0:
        return conversion.convert(value[()])
    conversion.take(value.size)
    kind = value.dtype.kind
    if kind in "biu" or (kind == "f" and value.dtype.itemsize <= 8 and numpy.isfinite(value).all()):
        return conversion.numbers(value, value.ndim)
    return conversion.sequence(value, value.tolist() if kind in "fUO" else value, 0)


def _pandas_rule(value: Any) -> Rule | None:
    pandas = _modules.get("pandas")
    if pandas is None:
        return None
    if value is pandas.NA:
        return lambda _conversion, _value: None
    if isinstance(value, (pandas.Period, pandas.Interval)):
        return _string_form
    if isinstance(value, pandas.DataFrame):
        return _frame
    if isinstance(value, pandas.Series):
        return _series
    if isinstance(value, (pandas.Index, pandas.api.extensions.ExtensionArray)):
        return lambda conversion, column: conversion.sequence(column, column.tolist(), len(column))
    return None


def _column(series: Any) -> list[Any]:
    """The values; what is missing is None, except among floats, where it is a number that is not finite."""
    items: list[Any] = series.tolist()
    if series.dtype.kind == "f":
        return items
    return [None if gone else item for item, gone in zip(items, series.isna().tolist(), strict=True)]


def _series(conversion: Conversion, value: Any) -> Any:
    index = value.index
    conversion.take(len(index))
    default = type_name(index) == "RangeIndex" and index.start == 0 and index.step == 1
    items = _column(value)
    if default:
        return conversion.sequence(value, items, 0)
    return conversion.mapping(value, zip(index.tolist(), items, strict=True))


def _frame(conversion: Conversion, value: Any) -> Any:
    conversion.take(value.size)
    columns = ((name, _column(value.iloc[:, place])) for place, name in enumerate(value.columns.tolist()))
    return conversion.mapping(value, columns)
