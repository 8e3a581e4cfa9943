"""What a loaded model offers: its operations with their arguments, its variables with their types.

Looking at a hostile model's globals may run its code; what that raises costs the one entry it belongs to, and
no value of the model is shown but a default that has a short encoding.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgpack

from worker.child.encoding import Encoder
from worker.child.failures import attempt, bounded, type_name
from worker.child.isolation import BUILTINS
from worker.child.references import is_variable

__builtins__ = BUILTINS

MAX_ENTRIES: Final = 1000
"""Of functions, and of variables."""
MAX_ARGUMENTS: Final = 64
NAME_CHARACTERS: Final = 256
"""Longer names cannot be asked for."""
TYPE_BYTES: Final = 256
DEFAULT_BYTES: Final = 1024
DOC_BYTES: Final = 2048
_unpack: Final = msgpack.unpackb
_cleaned: Final = inspect.cleandoc
_signature: Final = inspect.signature
_Parameter: Final = inspect.Parameter


def introspect(
    namespace: dict[str, Any], is_operation: Callable[[str, Any], bool], warnings: list[dict[str, str]]
) -> dict[str, Any]:
    """``{functions, variables}``; adds a warning ``TRUNCATED`` where there are too many of one."""
    functions: list[dict[str, Any]] = []
    variables: list[dict[str, Any]] = []
    for name, value in list(namespace.items()):
        if type(name) is not str or not _can_be_asked_for(name):
            continue
        if _holds(is_operation, name, value):
            functions.append(_function(name, value))
        elif _holds(is_variable, name, value):
            kind = bounded(type_name(value), TYPE_BYTES)
            variables.append({"name": name, "type": kind, "readable": True, "writable": True})
    found = {"functions": functions, "variables": variables}
    warnings += [{"code": "TRUNCATED", "path": key} for key, all_ in found.items() if len(all_) > MAX_ENTRIES]
    return {key: all_[:MAX_ENTRIES] for key, all_ in found.items()}


def _can_be_asked_for(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARACTERS and bounded(name, 4 * NAME_CHARACTERS) == name


def _holds(predicate: Callable[[str, Any], bool], name: str, value: Any) -> bool:
    holds, failure = attempt(predicate, name, value)
    return failure is None and holds is True


def _function(name: str, function: Any) -> dict[str, Any]:
    arguments, failure = attempt(_arguments, function)
    doc, silent = attempt(_doc, function)
    return {"name": name, "arguments": None if failure else arguments, "doc": None if silent else doc}


def _doc(function: Any) -> str | None:
    doc = (function.func if issubclass(type(function), partial) else function).__doc__
    return bounded(_cleaned(doc), DOC_BYTES) if type(doc) is str else None


def _arguments(function: Any) -> list[dict[str, Any]]:
    """What can be given by position, and what must be given at all."""
    told = []
    for parameter in list(_signature(function).parameters.values())[:MAX_ARGUMENTS]:
        gathers = parameter.kind is _Parameter.VAR_POSITIONAL
        required = parameter.default is _Parameter.empty and not gathers
        named = parameter.kind in (_Parameter.KEYWORD_ONLY, _Parameter.VAR_KEYWORD)
        if parameter.kind is _Parameter.VAR_KEYWORD or (named and not required):
            continue
        name = bounded(f"{'*' if gathers else ''}{parameter.name}", NAME_CHARACTERS)
        default = None if parameter.default is _Parameter.empty else _default(parameter.default)
        told.append({"name": name, "required": required, "default": default})
    return told


def _default(value: Any) -> Any:
    """A default as a JSON value; None where it has no short encoding."""
    packed, failure = attempt(Encoder(DEFAULT_BYTES).encode, value, "default")
    return None if failure else _unpack(packed, raw=False)
